// One image, large, with everything that is known of it.

import { get } from "./api.js";
import { $, button, cost, element, isolated, isTyping, number, seconds, times } from "./dom.js";
import { picture, stateOf } from "./gallery.js";
import { isActive } from "./orders.js";

const dialog = $("#detail");
const clock = new Intl.DateTimeFormat(undefined, { dateStyle: "medium", timeStyle: "medium" });

export class Detail {
  #order;
  #panes = new Set(); // the names of those that are open

  /** `actions` has: again(order, sameSeed), edit(order, image), withdraw(order), closed(handle). */
  constructor(orders, service, actions) {
    this.orders = orders;
    this.service = service;
    this.actions = actions;
    $("#detail-newer").addEventListener("click", () => this.#move(-1));
    $("#detail-older").addEventListener("click", () => this.#move(1));
    dialog.addEventListener("keydown", (event) => {
      const way = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
      if (!way || isTyping(event) || event.target.closest("pre") || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      this.#move(way);
    });
    dialog.addEventListener("close", () => this.actions.closed(this.#order.handle));
  }

  open(order) {
    this.#order = order;
    this.#draw();
    dialog.showModal();
    dialog.scrollTop = 0;
  }

  /** Take an order in that has changed. */
  learn(order) {
    if (dialog.open && this.#order.handle === order.handle) {
      this.#order = order;
      this.#draw();
    }
  }

  #move(way) {
    const all = this.orders.all();
    const next = all[all.findIndex((order) => order.handle === this.#order.handle) + way];
    if (!next) return;
    this.#order = next;
    this.#draw();
  }

  #draw() {
    const order = this.#order;
    const all = this.orders.all();
    const place = all.findIndex((other) => other.handle === order.handle);
    $("#detail-title").textContent = order.type === "edit" ? `Edit, seed ${order.seed}` : `Seed ${order.seed}`;
    $("#detail-newer").disabled = place <= 0;
    $("#detail-older").disabled = place === all.length - 1;
    $("#detail-prompt").replaceChildren(isolated(order.prompt));
    this.#drawPicture(order);
    this.#drawActions(order);
    this.#drawFacts(order);
    this.#drawCalls(order);
  }

  #drawPicture(order) {
    const shown = `${order.handle} ${order.state}`;
    const frame = $("#detail-picture");
    if (frame.dataset.shown === shown) return;
    frame.dataset.shown = shown;
    if (order.images.length) {
      frame.replaceChildren(...order.images.map((image) => picture(order, image, false)));
      return;
    }
    const told = order.error ? isolated(order.error.message) : "";
    frame.replaceChildren(element("p", isActive(order) ? "pending" : "pending bad", element("strong", "", stateOf(order)), told));
  }

  #drawActions(order) {
    const actions = [];
    order.images.forEach((image, index) => {
      const download = element("a", "button primary", order.images.length > 1 ? `Download ${index + 1}` : "Download");
      download.href = `/images/${order.handle}/${image.number}`;
      download.download = order.files[index];
      actions.push(download, button("Edit this image", () => this.#leave(() => this.actions.edit(order, image))));
    });
    actions.push(
      button("Again with this seed", () => this.#leave(() => this.actions.again(order, true))),
      button("New seed", () => this.#leave(() => this.actions.again(order, false))),
    );
    if (order.state === "waiting") {
      const withdraw = button(order.withdrawing ? "Withdrawing ..." : "Withdraw", () => this.actions.withdraw(order));
      withdraw.disabled = order.withdrawing;
      actions.push(withdraw);
    }
    const held = [...$("#detail-actions").children].indexOf(document.activeElement);
    $("#detail-actions").replaceChildren(...actions);
    if (held >= 0) actions[Math.min(held, actions.length - 1)].focus();
  }

  #drawFacts(order) {
    const pixels = order.images.map((image) => `${image.width ?? "?"} \u00d7 ${image.height ?? "?"}`).join(", ");
    const bytes = order.images.reduce((sum, image) => sum + image.bytes, 0);
    const took = (Date.parse(order.changed_at) - Date.parse(order.placed_at)) / 1000;
    const facts = {
      State: stateOf(order),
      Why: order.error?.message,
      Details: order.told && order.told.message !== order.error.message ? order.told.message : "",
      Charged: isActive(order)
        ? `not yet; reserved: ${cost(order.credits, this.service)}`
        : `${order.told?.charged === "unknown" ? "perhaps " : ""}${cost(order.credits, this.service)}`,
      Size: pixels || times(order.size),
      File: bytes ? `${number.format(Math.round(bytes / 1024))} KiB, ${order.files.join(", ")}` : "",
      Seed: String(order.seed),
      Placed: clock.format(new Date(order.placed_at)),
      [isActive(order) ? "Since" : "Ended"]: clock.format(new Date(order.changed_at)),
      Took: isActive(order) ? "" : seconds(took),
    };
    const rows = Object.entries(facts).filter(([, value]) => value);
    $("#detail-facts").replaceChildren(
      ...rows.flatMap(([name, value]) => [element("dt", "", name), element("dd", "", isolated(value))]),
    );
  }

  async #drawCalls(order) {
    let calls;
    try {
      calls = await get(`/api/orders/${order.handle}/calls`);
    } catch (problem) {
      $("#detail-calls").replaceChildren(element("p", "bad", problem.message));
      return;
    }
    if (this.#order.handle !== order.handle || this.#order.change !== order.change) return;
    const forgotten = "It was made before the studio was started, so only the request is known.";
    const waiting = calls.submitted ? "No answer yet." : isActive(order) ? "Not sent yet." : forgotten;
    this.#show(
      this.#pane("Request", requestText(calls.request), calls.request),
      this.#pane("Response", answerText(calls.response) ?? waiting, calls.response),
      this.#pane(
        `Status checks: ${number.format(calls.polls)}`,
        calls.poll ? `${requestText(calls.poll_request)}\n\n${answerText(calls.poll)}` : "None yet.",
        calls.poll,
      ),
      this.#pane("As curl", calls.curl),
      this.#pane("As Python", calls.python),
    );
  }

  #show(...panes) {
    const place = $("#detail-calls");
    const held = [...place.children].findIndex((pane) => pane.contains(document.activeElement));
    place.replaceChildren(...panes);
    if (held >= 0) panes[held].querySelector("summary").focus();
  }

  /** A part that can be opened: text, and the body in it laid out or as it was, and a button that copies it. */
  #pane(words, text, call) {
    const [name] = words.split(":");
    const pre = element("pre", "", text);
    pre.tabIndex = 0;
    pre.setAttribute("role", "group");
    pre.setAttribute("aria-label", words);
    const tools = element("div", "tools", button("Copy", () => this.#copy(name, pre.textContent), "small"));
    if (call?.pretty) {
      const raw = text.replace(call.pretty, () => call.body);
      const box = element("input");
      box.type = "checkbox";
      box.addEventListener("change", () => { pre.textContent = box.checked ? raw : text; });
      tools.append(element("label", "inline", box, "as on the wire"));
    }
    const pane = element("details", "call", element("summary", "", words), tools, pre);
    pane.open = this.#panes.has(name);
    pane.addEventListener("toggle", () => {
      if (pane.open) this.#panes.add(name);
      else if (pane.isConnected) this.#panes.delete(name);
    });
    return pane;
  }

  async #copy(name, text) {
    try {
      await navigator.clipboard.writeText(text);
      $("#detail-said").textContent = `${name}: copied.`;
    } catch {
      $("#detail-said").textContent = "The browser does not allow copying here: select the text instead.";
    }
  }

  /** Close, and then do something elsewhere on the page. */
  #leave(action) {
    dialog.addEventListener("close", () => action(), { once: true });
    dialog.close();
  }
}

function headersText(headers) {
  return Object.entries(headers).map(([name, value]) => `${name}: ${value}`).join("\n");
}

function requestText(request) {
  const body = request.body === undefined ? "" : `\n\n${request.pretty ?? request.body}`;
  return `${request.method} ${request.url}\n${headersText(request.headers)}${body}`;
}

function answerText(answer) {
  if (!answer) return null;
  if (answer.problem) return `No answer: ${answer.problem}\n${answer.sent ? "It may have been received." : "Nothing was sent."}`;
  const cut = answer.complete ? "" : "\n\n(The rest is missing.)";
  return `Status ${answer.status}\n${headersText(answer.headers)}\n\n${answer.pretty ?? answer.body}${cut}`;
}
