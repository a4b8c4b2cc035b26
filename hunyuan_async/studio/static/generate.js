// The page that makes images: it puts its parts together.

import { get, post } from "./api.js";
import { compare } from "./compare.js";
import { Composer, fromUrl } from "./composer.js";
import { Detail } from "./detail.js";
import { $, button, cost, element, isTyping, number, seconds, tell } from "./dom.js";
import { Gallery, stateOf } from "./gallery.js";
import { isActive, Orders } from "./orders.js";

const LOOK = 2000; // milliseconds between two looks at the statistics, while something is under way
const SETTLED = 1200; // milliseconds until the statistics tell of an end, too
const SAID_TOGETHER = 400; // milliseconds
const LINES = {
  live: "",
  lost: "Connection lost. Reconnecting ...",
  refused: "The studio was started again: open the address that it printed.",
};
const IDEAS = [
  "A koi pond in the rain, watercolour, seen from above",
  "A lighthouse on a cliff at dusk, long exposure, film grain",
  "Isometric paper model of a tiny ramen shop, soft studio light",
];

const orders = new Orders();
let service;
let composer;
let detail;
let gallery;
const ended = []; // since something was last said

function drawCounts() {
  const all = orders.all();
  const active = all.filter(isActive).length;
  const images = all.filter((order) => order.images.length).length;
  const counted = images === 1 && !orders.more ? "1 image" : `${number.format(images)}${orders.more ? "+" : ""} images`;
  $("#count").textContent = images ? counted : "Images";
  document.title = active ? `(${active}) hunyuan studio` : "hunyuan studio";
  $("#older").hidden = !orders.more;
  $("#empty").hidden = all.length > 0;
}

/** Say what has ended since, in one sentence, also to those who do not see it. */
function sayEnded() {
  const active = orders.all().filter(isActive).length;
  const rest = active ? `${number.format(active)} under way` : "";
  const charged = ended.reduce((sum, order) => sum + order.credits, 0);
  const words = ended.length === 1 ? `${stateOf(ended[0])}: seed ${ended[0].seed}` : `${ended.length} ended`;
  const news = ended.length ? `${words}, charged ${cost(charged, service)}` : "";
  ended.length = 0;
  $("#doing").textContent = [news, rest].filter(Boolean).join(" \u00b7 ");
}

let saying;
orders.addEventListener("change", ({ detail: { order, before } }) => {
  gallery.show(order);
  detail.learn(order);
  if (before && isActive(before) && !isActive(order)) ended.push(order);
  clearTimeout(saying);
  saying = setTimeout(sayEnded, SAID_TOGETHER);
  drawCounts();
});
orders.addEventListener("line", ({ detail: state }) => {
  $("#line").dataset.state = state;
  $("#line").textContent = LINES[state];
});

async function withdraw(order) {
  try {
    orders.take([await post(`/api/orders/${order.handle}/withdraw`, {})]);
    tell($("#trouble"), "");
  } catch (problem) {
    tell($("#trouble"), problem.message);
  }
}

/** Fill the form with an order; the addresses that an edit began from stand in its request. */
async function again(order, sameSeed) {
  let sources = [];
  try {
    if (order.type === "edit") {
      const { request } = await get(`/api/orders/${order.handle}/calls`);
      sources = JSON.parse(request.body).images.map(fromUrl);
    }
    tell($("#trouble"), "");
  } catch (problem) {
    tell($("#trouble"), problem.message);
    return;
  }
  composer.begin(order, { seed: sameSeed ? order.seed : null, sources });
  (sameSeed ? $("#prompt") : $("#go")).focus();
}

async function older() {
  try {
    await orders.older();
  } catch (problem) {
    tell($("#trouble"), problem.message);
  }
  drawCounts();
}

async function look() {
  if (document.hidden) return;
  const seen = await get("/api/statistics").catch(() => null); // the line says that nobody answers
  if (!seen) return;
  gallery.learn({ typical: seen.latency_p50 });
  const facts = {
    Waiting: number.format(seen.waiting),
    "In flight": `${number.format(seen.in_flight)} of ${number.format(seen.slots)}`,
    "Half within": seen.latency_p50 === null ? "" : seconds(seen.latency_p50),
    Spent: cost(seen.credits_spent, service),
    "At risk": seen.credits_at_risk ? cost(seen.credits_at_risk, service) : "",
    "Held back": seen.waiting_for ?? "",
  };
  $("#pulse").replaceChildren(
    ...Object.entries(facts).filter(([, value]) => value).map(([name, value]) =>
      element("div", "", element("dt", "", name), element("dd", "", value))),
  );
}

function offerIdeas() {
  $("#ideas").replaceChildren(...IDEAS.map((idea) => button(idea, () => composer.suggest(idea))));
}

addEventListener("keydown", (event) => {
  if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event) || document.querySelector("dialog[open]")) return;
  if (event.key === "/") $("#prompt").focus();
  else if (event.key === "g") $("#tiles").querySelector(".open")?.focus();
  else return;
  event.preventDefault();
});
$("#older").addEventListener("click", older);
$("#keys-open").addEventListener("click", () => $("#keys").showModal());
new IntersectionObserver(([seen]) => {
  if (seen.isIntersecting && orders.more && service) older();
}, { rootMargin: "400px" }).observe($("#older"));

try {
  service = await get("/api/studio");
  $("#service").textContent = service.emulated ? "Emulator: free, made-up images" : new URL(service.base_url).host;
  $("#service").dataset.emulated = service.emulated;
  if (!service.emulated) $("#service").title = `Kept in ${service.directory}`;
  composer = new Composer(service, (placed) => {
    orders.take(placed);
    if ($(".wall-head").getBoundingClientRect().bottom < 0 || $("#tiles").getBoundingClientRect().top > innerHeight) {
      $(".wall").scrollIntoView();
    }
  });
  gallery = new Gallery(orders, { open: (order) => detail.open(order), withdraw, compare });
  detail = new Detail(orders, service, {
    again,
    edit: (order, image) => composer.edit(order, image),
    withdraw,
    closed: (handle) => gallery.focus(handle),
  });
  gallery.learn({ offset: Date.parse(service.now) - Date.now() });
  offerIdeas();
  await orders.start();
  drawCounts();
  look();
  setInterval(() => { if (orders.all().some(isActive)) look(); }, LOOK);
  orders.addEventListener("change", ({ detail: { order } }) => { if (!isActive(order)) setTimeout(look, SETTLED); });
} catch (problem) {
  tell($("#trouble"), problem.message);
}
