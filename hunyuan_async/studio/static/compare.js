// Two to four images side by side, at the same zoom and place.

import { $, element, isolated, times } from "./dom.js";
import { picture } from "./gallery.js";

const dialog = $("#compare");
const panes = $("#panes");
const LARGEST = 16; // times
const STEP = 1.25;
const NUDGE = 0.08; // of a pane

let view = { scale: 1, x: 0, y: 0 }; // the shift in parts of a pane

export function compare(orders) {
  panes.replaceChildren(...orders.map(pane));
  panes.dataset.count = orders.length;
  delete panes.dataset.alone;
  fit();
  dialog.showModal();
  panes.focus();
}

function pane(order, index) {
  const frame = element("div", "frame", picture(order, order.images[0], false));
  const words = element("figcaption", "", element("kbd", "", String(index + 1)), ` seed ${order.seed} \u00b7 ${times(order.size)} `);
  words.append(isolated(order.prompt, "prompt quiet"));
  return element("figure", "pane", frame, words);
}

function draw() {
  const room = (view.scale - 1) / 2;
  view.x = Math.min(room, Math.max(-room, view.x));
  view.y = Math.min(room, Math.max(-room, view.y));
  for (const image of panes.querySelectorAll("img")) {
    image.style.transform = `translate(${100 * view.x}%, ${100 * view.y}%) scale(${view.scale})`;
  }
  $("#zoom").textContent = `${Math.round(100 * view.scale)}%`;
}

function fit() {
  view = { scale: 1, x: 0, y: 0 };
  draw();
}

/** Zoom, and keep what is at a point, in parts of a pane from its middle, where it is. */
function zoom(factor, x = 0, y = 0) {
  const scale = Math.min(LARGEST, Math.max(1, view.scale * factor));
  const grown = scale / view.scale;
  view = { scale, x: x - (x - view.x) * grown, y: y - (y - view.y) * grown };
  draw();
}

function shift(x, y) {
  view = { ...view, x: view.x + x, y: view.y + y };
  draw();
}

/** Show one alone, or all again. */
function alone(number) {
  if (number > panes.children.length) return;
  if (panes.dataset.alone === String(number)) delete panes.dataset.alone;
  else panes.dataset.alone = number;
  [...panes.children].forEach((one, index) => { one.hidden = panes.dataset.alone !== undefined && index + 1 !== number; });
}

const keys = {
  "+": () => zoom(STEP),
  "=": () => zoom(STEP),
  "-": () => zoom(1 / STEP),
  0: fit,
  ArrowLeft: () => shift(NUDGE, 0),
  ArrowRight: () => shift(-NUDGE, 0),
  ArrowUp: () => shift(0, NUDGE),
  ArrowDown: () => shift(0, -NUDGE),
};
for (const number of [1, 2, 3, 4]) keys[number] = () => alone(number);

dialog.addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || !(event.key in keys)) return;
  event.preventDefault();
  keys[event.key]();
});
panes.addEventListener("wheel", (event) => {
  const frame = event.target.closest(".frame");
  if (!frame) return;
  event.preventDefault();
  const box = frame.getBoundingClientRect();
  const x = (event.clientX - box.left) / box.width - 0.5;
  const y = (event.clientY - box.top) / box.height - 0.5;
  zoom(Math.exp(-event.deltaY / 400), x, y);
}, { passive: false });
panes.addEventListener("dblclick", () => (view.scale > 1 ? fit() : zoom(2)));

const fingers = new Map(); // by pointer
panes.addEventListener("pointerdown", (event) => {
  if (!event.target.closest(".frame")) return;
  fingers.set(event.pointerId, event);
  panes.setPointerCapture(event.pointerId);
});
panes.addEventListener("pointermove", (event) => {
  const before = fingers.get(event.pointerId);
  if (!before) return;
  const frame = panes.querySelector(".pane:not([hidden]) .frame").getBoundingClientRect();
  const others = [...fingers.values()].filter((finger) => finger.pointerId !== event.pointerId);
  if (others.length) {
    const apart = (finger) => Math.hypot(finger.clientX - others[0].clientX, finger.clientY - others[0].clientY);
    zoom(apart(event) / Math.max(1, apart(before)));
  } else {
    shift((event.clientX - before.clientX) / frame.width, (event.clientY - before.clientY) / frame.height);
  }
  fingers.set(event.pointerId, event);
});
for (const end of ["pointerup", "pointercancel"]) panes.addEventListener(end, (event) => fingers.delete(event.pointerId));

$("#zoom-in").addEventListener("click", () => zoom(STEP));
$("#zoom-out").addEventListener("click", () => zoom(1 / STEP));
$("#zoom-fit").addEventListener("click", fit);
