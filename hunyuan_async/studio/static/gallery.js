// The wall of images, the newest first: what is under way shows how far it has come.

import { $, button, element, isolated, isTyping, number, seconds, times } from "./dom.js";
import { isActive } from "./orders.js";

const MOST_COMPARED = 4;
const TICK = 250; // milliseconds
const USUAL = 10; // seconds for an image, until it is learned
const WORDS = {
  waiting: "Waiting",
  sending: "Sending",
  running: "Painting",
  saving: "Saving",
  done: "Done",
  failed: "Not made",
  unknown: "Nobody can tell yet",
  withdrawn: "Withdrawn",
};

/** The words for how an order stands. */
export function stateOf(order) {
  if (order.withdrawing && order.state === "waiting") return "Withdrawing";
  return WORDS[order.state];
}

/** An image of an order: a small copy where that is enough, and the whole one where pixels are dense. */
export function picture(order, image, small) {
  const made = element("img");
  const whole = `/images/${order.handle}/${image.number}`;
  if (small && image.width) {
    made.loading = "lazy";
    made.sizes = "18rem";
    made.srcset = `/thumbnails/${order.handle}/${image.number} ${Math.min(256, image.width)}w, ${whole} ${image.width}w`;
  } else {
    made.src = whole;
  }
  made.alt = order.prompt;
  made.decoding = "async";
  [made.width, made.height] = [image.width ?? 1024, image.height ?? 1024];
  return made;
}

export class Gallery {
  #tiles = new Map(); // by handle
  #picked = new Set(); // handles, in the order of picking
  #clock = { offset: 0, typical: null };

  /** `open` and `withdraw` get an order; `compare` gets orders. */
  constructor(orders, { open, withdraw, compare }) {
    this.orders = orders;
    this.open = open;
    this.withdraw = withdraw;
    this.compare = compare;
    $("#compare-open").addEventListener("click", () => this.#compare());
    $("#compare-clear").addEventListener("click", () => {
      for (const handle of this.#picked) this.#pick(handle, false);
      $("#count").focus();
    });
    $("#tiles").addEventListener("keydown", (event) => this.#pressed(event));
    setInterval(() => this.#tick(), TICK);
  }

  /** Show an order as it is now; its tile stays the same, so that nothing loses the focus. */
  show(order) {
    let tile = this.#tiles.get(order.handle);
    if (!tile) {
      tile = this.#newTile(order);
      this.#tiles.set(order.handle, tile);
      const next = this.orders.all().find((other) => other.number < order.number && this.#tiles.has(other.handle));
      $("#tiles").insertBefore(tile, next ? this.#tiles.get(next.handle) : null);
    }
    this.#fill(tile, order);
    $("#empty").hidden = true;
  }

  /** Take the server's clock, and how long an image takes. */
  learn({ offset = this.#clock.offset, typical = this.#clock.typical }) {
    this.#clock = { offset, typical };
  }

  focus(handle) {
    (this.#tiles.get(handle) ?? $("#tiles")).querySelector(".open")?.focus();
  }

  #newTile(order) {
    const [width, height] = order.size.split("*").map(Number);
    const open = button("", () => this.open(this.orders.get(order.handle)), "open");
    const box = element("input");
    box.type = "checkbox";
    box.addEventListener("change", () => this.#pick(order.handle, box.checked));
    const pick = element("label", "pick", box, element("span", "unseen", `Pick seed ${order.seed} to compare`));
    pick.title = "Pick to compare";
    const tile = element("li", "tile", open, pick, element("div", "under"));
    tile.dataset.handle = order.handle;
    tile.style.setProperty("--ratio", (width / height).toFixed(4));
    return tile;
  }

  #fill(tile, order) {
    const open = tile.querySelector(".open");
    tile.dataset.state = order.state;
    tile.querySelector(".pick").hidden = !order.images.length;
    if (order.images.length) {
      if (!open.querySelector("img")) open.replaceChildren(picture(order, order.images[0], true));
    } else if (isActive(order)) {
      if (!open.querySelector(".canvas")) open.replaceChildren(canvas());
    } else {
      const why = order.error ? isolated(order.error.message) : "";
      open.replaceChildren(element("span", "ended", element("strong", "", stateOf(order)), why));
    }
    open.setAttribute("aria-label", `${stateOf(order)}, seed ${order.seed}: ${order.prompt}`);
    const facts = [`seed ${order.seed}`, times(order.size)];
    if (order.type === "edit") facts.unshift("edit");
    if (!isActive(order)) facts.push(`${number.format(order.credits)} credits`);
    const under = [isolated(order.prompt, "prompt"), element("span", "quiet", facts.join(" \u00b7 "))];
    if (order.state === "waiting" && !order.withdrawing) {
      const withdraw = button("Withdraw", () => this.withdraw(order), "small");
      withdraw.setAttribute("aria-label", `Withdraw seed ${order.seed}`);
      under.push(withdraw);
    }
    const place = tile.querySelector(".under");
    const held = place.contains(document.activeElement);
    place.replaceChildren(...under);
    if (held) (place.querySelector("button") ?? open).focus();
    this.#draw(tile, order);
  }

  /** Draw how far an order has come; an estimate never says that it is done. */
  #draw(tile, order) {
    const place = tile.querySelector(".canvas");
    if (!place) return;
    const since = (Date.now() + this.#clock.offset - Date.parse(order.changed_at)) / 1000;
    const typical = this.#clock.typical;
    const running = order.state === "running";
    const painted = 1 - 0.9 * 2 ** ((-2 * Math.max(0, since)) / (typical ?? USUAL));
    const share = running ? painted : { sending: 0.06, saving: 0.97 }[order.state] ?? 0;
    place.querySelector(".state").textContent = stateOf(order);
    const left = running && typical ? typical - since : null;
    const words = left === null ? (since > 1 ? seconds(since) : "") : left > 0.5 ? `about ${seconds(left)} left` : "any moment";
    place.querySelector(".left").textContent = order.state === "waiting" ? this.#ahead(order) : words;
    place.querySelector(".filled").style.width = `${(100 * share).toFixed(1)}%`;
  }

  #ahead(order) {
    const ahead = this.orders.all().filter((other) => other.state === "waiting" && other.number < order.number).length;
    return ahead ? `${number.format(ahead)} before it` : "next";
  }

  #tick() {
    for (const [handle, tile] of this.#tiles) {
      const order = this.orders.get(handle);
      if (isActive(order)) this.#draw(tile, order);
    }
  }

  // --- what is picked to compare

  #pick(handle, on) {
    if (on) this.#picked.add(handle);
    else this.#picked.delete(handle);
    if (this.#picked.size > MOST_COMPARED) this.#pick(this.#picked.values().next().value, false);
    const tile = this.#tiles.get(handle);
    tile.classList.toggle("is-picked", this.#picked.has(handle));
    tile.querySelector(".pick input").checked = this.#picked.has(handle);
    $("#picked").hidden = !this.#picked.size;
    $("#compare-open").disabled = this.#picked.size < 2;
    $("#compare-open").textContent = this.#picked.size < 2 ? "Pick one more" : `Compare ${this.#picked.size}`;
  }

  #compare() {
    if (this.#picked.size >= 2) this.compare([...this.#picked].map((handle) => this.orders.get(handle)));
  }

  // --- keys

  #pressed(event) {
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event)) return;
    const tile = event.target.closest(".tile");
    const steps = { ArrowRight: 1, ArrowLeft: -1, ArrowDown: this.#row(tile, 1), ArrowUp: this.#row(tile, -1) };
    if (event.key in steps) {
      const all = [...$("#tiles").children];
      all[all.indexOf(tile) + steps[event.key]]?.querySelector(".open").focus();
    } else if (event.key === "c" && this.orders.get(tile.dataset.handle).images.length) {
      this.#pick(tile.dataset.handle, !this.#picked.has(tile.dataset.handle));
    } else if (event.key === "v") {
      this.#compare();
    } else {
      return;
    }
    event.preventDefault();
  }

  /** How many tiles further the one is that stands below or above. */
  #row(tile, way) {
    const all = [...$("#tiles").children];
    const here = all.indexOf(tile);
    const middle = (one) => one.offsetLeft + one.offsetWidth / 2;
    const rows = all.map((one, index) => [index, one]).filter(([, one]) => (one.offsetTop - tile.offsetTop) * way > 0);
    if (!rows.length) return 0;
    const next = way > 0 ? rows[0][1].offsetTop : rows.at(-1)[1].offsetTop;
    const row = rows.filter(([, one]) => one.offsetTop === next);
    const [index] = row.reduce((best, one) => (Math.abs(middle(one[1]) - middle(tile)) < Math.abs(middle(best[1]) - middle(tile)) ? one : best));
    return index - here;
  }
}

function canvas() {
  return element(
    "span",
    "canvas",
    element("span", "state"),
    element("span", "track", element("span", "filled")),
    element("span", "left"),
  );
}
