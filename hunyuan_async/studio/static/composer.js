// What is to be made: the form at the side.

import { post, upload } from "./api.js";
import { $, button, cost, element, isolated, number, tell, times } from "./dom.js";

const SAME_CLICK = 1000; // milliseconds in which the same wish is the same click
const form = $("#composer");

export class Composer {
  #service;
  #sources = []; // {wish, words, face}: what the server is told, and what is seen
  #click = { wish: "", id: "", until: 0 };
  #busy = false;

  /** `placed` gets the orders; `service` says what may be asked for. */
  constructor(service, placed) {
    this.#service = service;
    this.placed = placed;
    this.#offerSizes();
    $("#variations").max = service.max_variations;
    if (!service.can_upload) $("#source-hint").append(" A file needs HUNYUAN_UPLOAD_COMMAND to be set.");
    for (const field of [$("#width"), $("#height")]) [field.min, field.max] = [service.min_side, service.max_side];
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      this.#submit();
    });
    form.addEventListener("input", () => this.#draw());
    form.addEventListener("keydown", (event) => {
      if (event.key !== "Enter") return;
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        if (!event.repeat) this.#submit();
      } else if (event.target === $("#source-url")) {
        event.preventDefault();
        this.#addUrl();
      } else if (event.target.matches("input")) {
        event.preventDefault(); // a field that is done with is not an order yet
      }
    });
    for (const step of form.querySelectorAll("[data-step]")) {
      step.addEventListener("click", () => this.#set("#variations", this.#variations() + Number(step.dataset.step)));
    }
    $("#dice").addEventListener("click", () => {
      this.#set("#seed", crypto.getRandomValues(new Uint32Array(1))[0] % (service.largest_seed - service.max_variations));
    });
    $("#source-add").addEventListener("click", () => this.#addUrl());
    $("#source-file").addEventListener("change", () => this.#addFile());
    this.#remember();
    this.#draw();
  }

  /** Fill the form with an order to begin from; with `seed` null, each image gets another one. */
  begin(order, { seed = order.seed, sources = [] } = {}) {
    form.elements.type.value = order.type;
    $("#prompt").value = order.prompt;
    $("#seed").value = seed ?? "";
    $("#variations").value = 1;
    this.#chooseSize(order.size);
    this.#sources = sources;
    this.#draw();
  }

  /** Begin an edit of an image of the gallery. */
  edit(order, image) {
    form.elements.type.value = "edit";
    this.#chooseSize(order.size);
    $("#seed").value = "";
    $("#variations").value = 1;
    $("#prompt").value = "";
    this.#sources = [];
    this.#addSource(fromGallery(order, image));
    $("#prompt").focus();
  }

  suggest(prompt) {
    $("#prompt").value = prompt;
    this.#draw();
    $("#go").focus();
  }

  // --- what is asked for

  #variations() {
    const asked = Math.trunc(Number($("#variations").value)) || 1;
    return Math.min(this.#service.max_variations, Math.max(1, asked));
  }

  #size() {
    const ratio = form.elements.ratio.value;
    return ratio === "custom" ? `${$("#width").value}*${$("#height").value}` : ratio;
  }

  #wish() {
    const seed = $("#seed").value.trim();
    return {
      prompt: $("#prompt").value,
      type: form.elements.type.value,
      size: this.#size(),
      seed: seed === "" ? null : Number(seed),
      variations: this.#variations(),
      images: this.#edits() ? this.#sources.map((source) => source.wish) : [],
    };
  }

  #edits() {
    return form.elements.type.value === "edit";
  }

  /** What is wrong with the form, and where. */
  #problem(wish) {
    const { min_side: least, max_side: most, prompt_chars: longest, largest_seed: largest } = this.#service;
    if (!wish.prompt.trim()) return ["Say what the image should show.", "#prompt"];
    if ([...wish.prompt.trim()].length > longest) return [`The prompt may have ${number.format(longest)} characters.`, "#prompt"];
    if (wish.type === "edit" && !wish.images.length) return ["Choose the image to start from.", "#source-file"];
    if (wish.images.includes(undefined)) return ["Wait until the image is uploaded.", "#source-file"];
    if (wish.seed !== null && !(Number.isInteger(wish.seed) && wish.seed >= 0 && wish.seed <= largest)) {
      return [`A seed is a whole number from 0 to ${largest}, or nothing.`, "#seed"];
    }
    for (const field of form.elements.ratio.value === "custom" ? ["#width", "#height"] : []) {
      const side = Number($(field).value);
      if (!(Number.isInteger(side) && side >= least && side <= most)) {
        return [`Width and height may be ${least} to ${most} pixels.`, field];
      }
    }
    return null;
  }

  async #submit() {
    if (this.#busy) return;
    const wish = this.#wish();
    const problem = this.#problem(wish);
    tell($("#composer-trouble"), problem ? problem[0] : "");
    if (problem) {
      $(problem[1]).focus();
      return;
    }
    this.#busy = true;
    this.#draw();
    const id = this.#clickOf(wish);
    try {
      const answer = await post("/api/orders", { ...wish, id });
      this.#click.until = performance.now() + SAME_CLICK;
      tell($("#composer-trouble"), answer.error ? `Not all were ordered: ${answer.error.message}` : "");
      this.placed(answer.orders);
    } catch (failed) {
      // Unless it was refused it may have been ordered: the same wish is then the same click, however late.
      this.#click.until = failed.status >= 400 && failed.status < 500 ? 0 : Infinity;
      tell($("#composer-trouble"), failed.message);
    } finally {
      this.#busy = false;
      this.#draw();
    }
  }

  /** The id of a click: a second click at once, or a try after a lost answer, asks for nothing more. */
  #clickOf(wish) {
    const asked = JSON.stringify(wish);
    if (asked !== this.#click.wish || performance.now() > this.#click.until) {
      const bytes = crypto.getRandomValues(new Uint8Array(16));
      this.#click = { wish: asked, id: Array.from(bytes, (byte) => byte.toString(16).padStart(2, "0")).join("") };
    }
    this.#click.until = Infinity;
    return this.#click.id;
  }

  // --- sources of an edit

  #addUrl() {
    const url = $("#source-url").value.trim();
    const isAddress = /^https?:\/\/[^/\s]/i.test(url);
    tell($("#composer-trouble"), isAddress ? "" : "Give an address that begins with https://");
    if (!isAddress) {
      $("#source-url").focus();
      return;
    }
    $("#source-url").value = "";
    this.#addSource({ wish: { url }, words: url, face: element("span", "face", "URL") });
  }

  async #addFile() {
    const [file] = $("#source-file").files;
    $("#source-file").value = "";
    if (!file) return;
    tell($("#composer-trouble"), "");
    if (file.size > this.#service.largest_upload) {
      tell($("#composer-trouble"), `${file.name} has more than ${this.#service.largest_upload >> 20} MiB.`);
      return;
    }
    const face = element("canvas", "face");
    drawFile(file, face);
    const source = { words: `${file.name}, uploading ...`, face };
    this.#addSource(source);
    try {
      const answer = await upload("/api/uploads", file);
      Object.assign(source, { wish: { upload: answer.upload }, words: file.name });
    } catch (failed) {
      this.#sources = this.#sources.filter((other) => other !== source);
      tell($("#composer-trouble"), failed.message);
    }
    this.#draw();
  }

  #addSource(source) {
    this.#sources = [...this.#sources, source].slice(-this.#service.max_images);
    this.#draw();
  }

  #drawSources() {
    $("#sources").hidden = !this.#edits();
    $("#source-list").replaceChildren(
      ...this.#sources.map((source) => {
        const remove = button("\u00d7", () => {
          this.#sources = this.#sources.filter((other) => other !== source);
          this.#draw();
          $("#source-file").focus();
        });
        remove.setAttribute("aria-label", `Remove ${source.words}`);
        return element("li", source.wish ? "" : "busy", source.face, isolated(source.words, "words"), remove);
      }),
    );
  }

  // --- the form itself

  #offerSizes() {
    const offer = (value, words, size) => {
      const input = element("input");
      Object.assign(input, { type: "radio", name: "ratio", value, checked: value === "1:1" });
      const shape = element("span", "shape");
      shape.ariaHidden = "true";
      if (size) {
        const [width, height] = size.split("*").map(Number);
        shape.style.width = `${(1.35 * width) / Math.max(width, height)}rem`;
        shape.style.aspectRatio = `${width} / ${height}`;
      } else {
        shape.classList.add("free");
      }
      const label = element("label", "", input, shape, element("span", "", words));
      if (size) label.title = times(size);
      return label;
    };
    const ratios = Object.entries(this.#service.ratios).map(([ratio, size]) => offer(ratio, ratio, size));
    $("#ratios").replaceChildren(...ratios, offer("custom", "Custom"));
  }

  #chooseSize(size) {
    const [ratio] = Object.entries(this.#service.ratios).find(([, pixels]) => pixels === size) ?? [];
    form.elements.ratio.value = ratio ?? "custom";
    [$("#width").value, $("#height").value] = size.split("*");
  }

  #set(field, value) {
    $(field).value = value;
    if (field === "#variations") $(field).value = this.#variations();
    this.#draw();
  }

  #draw() {
    const service = this.#service;
    const count = this.#variations();
    const length = [...$("#prompt").value.trim()].length;
    $("#prompt-count").textContent = `${number.format(length)} of ${number.format(service.prompt_chars)} characters`;
    $("#prompt-count").classList.toggle("bad", length > service.prompt_chars);
    const custom = form.elements.ratio.value === "custom";
    $("#custom").hidden = !custom;
    $("#size-now").textContent = custom ? "" : times(service.ratios[form.elements.ratio.value]);
    const seed = $("#seed").value.trim();
    $("#seed-hint").textContent = seed && count > 1
      ? `Seeds ${seed} to ${Number(seed) + count - 1}: one more for each variation.`
      : seed ? "The same seed and prompt make the same image." : "A random seed for each image; you see it afterwards.";
    $("#prompt").placeholder = this.#edits() ? "Make it night, with lanterns" : "A koi pond in the rain, watercolour";
    const verb = this.#edits() ? "Edit" : "Generate";
    const waits = this.#edits() && this.#sources.some((source) => !source.wish);
    $("#go-words").textContent = this.#busy ? "Ordering ..." : `${verb} ${count === 1 ? "1 image" : `${count} images`}`;
    $("#go-cost").textContent = service.emulated ? `${cost(count * service.credits, service)}, emulated` : cost(count * service.credits, service);
    $("#go").disabled = waits;
    $("#go").ariaDisabled = String(this.#busy); // and not disabled, which would take the focus away
    this.#drawSources();
    this.#keep();
  }

  /** What is typed outlives a reload of this tab. */
  #keep() {
    const { prompt, type, size, seed, variations } = this.#wish();
    const sources = this.#sources.filter((source) => source.wish && !source.wish.upload);
    const kept = sources.map(({ wish, words }) => ({ wish, words }));
    sessionStorage.setItem("hunyuan_draft", JSON.stringify({ prompt, type, size, seed, variations, sources: kept }));
  }

  #remember() {
    const draft = JSON.parse(sessionStorage.getItem("hunyuan_draft") ?? "null");
    if (!draft) return;
    this.begin({ ...draft, size: this.#service.ratios[draft.size] ?? draft.size }, { sources: draft.sources.map(withFace) });
    this.#set("#variations", draft.variations);
  }
}

function fromGallery(order, image) {
  const words = `seed ${order.seed}: ${order.prompt}`.slice(0, 200);
  return withFace({ wish: { handle: order.handle, number: image.number }, words });
}

export function fromUrl(url) {
  return withFace({ wish: { url }, words: url });
}

function withFace({ wish, words }) {
  if (!wish.handle) return { wish, words, face: element("span", "face", "URL") };
  const face = element("img", "face");
  face.src = `/thumbnails/${wish.handle}/${wish.number}`;
  face.alt = "";
  return { wish, words, face };
}

/** Show a local file; it is decoded here, so that no address is needed for it. */
async function drawFile(file, canvas) {
  try {
    const image = await createImageBitmap(file, { resizeHeight: 96, resizeQuality: "medium" });
    [canvas.width, canvas.height] = [image.width, image.height];
    canvas.getContext("2d").drawImage(image, 0, 0);
  } catch {
    // The server says whether it is an image.
  }
}
