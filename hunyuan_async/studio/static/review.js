// The review of a run: filters, verdicts, and the large view.

import { get, post } from "./api.js";
import { Grid } from "./grid.js";

const PAGE = 100; // items asked for at once
const VERDICTS = { k: "keep", x: "reject", r: "redo" };
const MARKS = { keep: "\u2713 keep", reject: "\u2717 reject", redo: "\u21bb redo", none: "" };
const STATES = { submitted: "paid, not collected", pending: "still to be made", skipped: "left out" };

const $ = (selector) => document.querySelector(selector);
const number = new Intl.NumberFormat("en");
const dollars = new Intl.NumberFormat("en", { style: "currency", currency: "USD" });

let run; // what the server says of the run
let positions = []; // of the items that the filter leaves, by their index in the grid
const items = new Map(); // by position
const saving = new Map(); // verdicts on their way, by position
const done = []; // this tab's verdicts, to be undone: {position, verdict, sent, before}
let known = 0; // changes of verdicts that this tab has seen
let turn = Promise.resolve(); // verdicts are sent one after the other
let asking; // for items
let filterCount = 0;

const grid = new Grid($("#grid"), { fill, inView: askForItems, open: openLarge });

// --- what is shown

function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

/** Text from outside, which keeps its direction to itself. */
function isolated(text, className = "") {
  const made = element("bdi", className, text);
  made.dir = "auto";
  return made;
}

function verdictOf(position) {
  return saving.get(position) ?? items.get(position)?.verdict ?? "none";
}

function mark(position) {
  const verdict = verdictOf(position);
  return element("span", `verdict ${verdict}${saving.has(position) ? " saving" : ""}`, MARKS[verdict]);
}

function picture(item, image, kind) {
  const made = element("img");
  made.src = `/${kind}/${image.sha256}`;
  made.alt = item.prompt;
  made.addEventListener("error", () => made.replaceWith(element("div", "none bad", "The file is not there any more.")));
  return made;
}

function absent(item) {
  const words = item.error || STATES[item.status] || item.status;
  return element("div", `none ${item.error ? "bad" : "quiet"}`, isolated(words));
}

function fill(index, cell) {
  const position = positions[index];
  const item = items.get(position);
  if (!item) {
    cell.append(element("div", "none quiet", "..."));
    cell.setAttribute("aria-label", `Image ${index + 1}, loading`);
    return;
  }
  const verdict = verdictOf(position);
  if (verdict !== "none") cell.classList.add(verdict);
  cell.append(item.images.length ? picture(item, item.images[0], "thumbnails") : absent(item));
  cell.append(element("div", "under", isolated(item.prompt, "prompt"), mark(position)));
  cell.setAttribute("aria-label", `${item.id}, ${item.status}, ${verdict === "none" ? "no verdict" : verdict}: ${item.prompt}`);
}

function countVerdicts(counts) {
  const cost = `${number.format(counts.redo * run.credits)} credits, about ${dollars.format(counts.redo * run.dollars)}`;
  say(
    ".totals",
    `${number.format(counts.keep)} keep, ${number.format(counts.reject)} reject, ${number.format(counts.redo)} redo` +
      (counts.redo ? ` (${cost})` : ""),
  );
}

/** Say it on the page and in the large view, which hides the page. */
function say(selector, text) {
  for (const place of document.querySelectorAll(selector)) place.textContent = text;
}

function told(text) {
  say(".trouble", text);
  for (const place of document.querySelectorAll(".trouble")) place.hidden = !text;
}

// --- items

/** Ask for the items in view that are not there yet; while an answer is awaited, scrolling on changes the next question. */
async function askForItems(first, end) {
  askForItems.view = [first, end];
  if (asking) return;
  asking = true;
  try {
    for (;;) {
      const [from, to] = askForItems.view;
      const missing = positions.slice(from, to).filter((position) => !items.has(position)).slice(0, PAGE);
      if (!missing.length) return;
      const answer = await get("/api/review/items", { positions: missing.join(",") });
      for (const [position, item] of Object.entries(answer.items)) items.set(Number(position), item);
      grid.refreshAll();
    }
  } catch (problem) {
    told(problem.message);
  } finally {
    asking = false;
  }
}

async function applyFilter() {
  const count = ++filterCount;
  const form = $("#filters");
  form.elements.value.disabled = !form.elements.column.value;
  const query = Object.fromEntries([...new FormData(form)].filter(([, value]) => value));
  const here = positions[grid.current];
  try {
    const answer = await get("/api/review/positions", query);
    if (count !== filterCount) return; // it was changed again meanwhile
    positions = answer.positions;
  } catch (problem) {
    told(problem.message);
    return;
  }
  $("#shown").textContent = positions.length === run.total
    ? `${number.format(run.total)} images` : `${number.format(positions.length)} of ${number.format(run.total)} images`;
  $("#nothing").hidden = positions.length > 0;
  grid.show(positions.length, Math.max(0, positions.indexOf(here)));
}

function offerValues() {
  const column = $("#filters").elements.column.value;
  $("#values").replaceChildren(...(run.columns[column] ?? []).map((value) => new Option(value)));
  $("#filters").elements.value.value = "";
}

// --- verdicts

function learn(news) {
  known = news.number;
  for (const [position, verdict] of Object.entries(news.verdicts)) {
    const item = items.get(Number(position));
    if (item) item.verdict = verdict;
    show(Number(position));
  }
  countVerdicts(news.counts);
}

function show(position) {
  const index = positions.indexOf(position);
  if (index >= 0) grid.refresh(index);
  if (index === grid.current) showVerdict();
}

/** Send a verdict about the attempt that is `sent` once those before it are stored; `over` is the one that it takes back. */
function store(position, verdict, sent, over) {
  saving.set(position, verdict);
  say(".saved", "Saving ...");
  show(position);
  const answer = turn.then(() => post("/api/review/verdicts", { position, verdict, sent, after: known, over }));
  turn = answer.then(
    (news) => {
      if (!over) done.push({ position, verdict, sent, before: news.before });
      learn(news);
      settle(position, verdict);
      say(".saved", "Saved in picks.csv");
      told("");
    },
    async (problem) => {
      settle(position, verdict);
      say(".saved", "Not saved");
      told(`Not saved: ${problem.message}`);
      await refresh();
    },
  );
  return turn;
}

function settle(position, verdict) {
  if (saving.get(position) === verdict) saving.delete(position);
  show(position);
}

function judge(verdict) {
  const position = positions[grid.current];
  if (!items.has(position)) return; // nobody has seen it yet
  store(position, verdict, items.get(position).sent);
  goTo(grid.current + 1);
}

async function undo() {
  await turn;
  const last = done.pop();
  if (!last) {
    say(".saved", "Nothing to undo");
    return;
  }
  const index = positions.indexOf(last.position);
  if (index >= 0) goTo(index);
  await store(last.position, last.before, last.sent, last.verdict);
}

/** Learn what other tabs did. */
async function refresh() {
  try {
    learn(await get("/api/review/verdicts", { after: known }));
  } catch (problem) {
    told(problem.message);
  }
}

// --- the large view

function goTo(index) {
  grid.move(index);
  if ($("#large").open) drawLarge();
}

async function drawLarge() {
  const position = positions[grid.current];
  const item = items.get(position);
  if (!item) {
    $("#large-title").textContent = "Loading ...";
    $("#large-images").replaceChildren();
    $("#large-facts").replaceChildren();
    await get("/api/review/items", { positions: position }).then(
      (answer) => items.set(position, answer.items[position]),
      (problem) => told(problem.message),
    );
    if (items.has(position) && positions[grid.current] === position) drawLarge();
    return;
  }
  $("#large-title").replaceChildren(isolated(item.id), ` (${number.format(grid.current + 1)} of ${number.format(positions.length)})`);
  $("#large-images").replaceChildren(
    ...(item.images.length ? item.images.map((image) => picture(item, image, "images")) : [absent(item)]),
  );
  const sizes = item.images.map((image) => `${image.width ?? "?"} \u00d7 ${image.height ?? "?"}`).join(", ");
  const facts = {
    Prompt: item.prompt,
    State: STATES[item.status] ?? item.status,
    Error: item.error,
    Seed: String(item.seed ?? ""),
    Size: sizes || item.size,
    ...Object.fromEntries(Object.entries(item.columns).filter(([name]) => !["id", "prompt", "seed", "size"].includes(name))),
  };
  $("#large-facts").replaceChildren(
    ...Object.entries(facts)
      .filter(([, value]) => value)
      .flatMap(([name, value]) => [element("dt", "", isolated(name)), element("dd", "", isolated(value))]),
  );
  showVerdict();
}

function showVerdict() {
  if ($("#large").open) $("#large-verdict").replaceChildren(mark(positions[grid.current]));
}

function openLarge() {
  if (!positions.length) return;
  $("#large").showModal();
  $("#large").focus(); // and not the first button, which a second Enter would press
  drawLarge();
}

// --- keys and buttons

/** Do what a key stands for; returns whether it stands for anything. */
function act(key) {
  if (VERDICTS[key]) judge(VERDICTS[key]);
  else if (key === "u") undo();
  else if (grid.step(key)) goTo(grid.current + grid.step(key));
  else return false;
  return true;
}

function pressed(event) {
  if (event.ctrlKey || event.metaKey || event.altKey) return;
  const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
  if (event.repeat && !grid.step(key)) return; // a key that is held down moves on, and judges one image alone
  if ((key === "Enter" || key === " ") && event.currentTarget === grid.root) openLarge();
  else if ((key === "Enter" || key === " ") && event.target === $("#large")) $("#large").close();
  else if (key === "/") $("#filters").elements.text.focus();
  else if (!act(key)) return;
  event.preventDefault();
}

grid.root.addEventListener("keydown", pressed);
$("#large").addEventListener("keydown", pressed);
$("#large").addEventListener("close", () => grid.root.focus());
$("#large").addEventListener("click", (event) => {
  const key = event.target.closest("[data-key]")?.dataset.key;
  if (key) act(key);
});
$("#large-close").addEventListener("click", () => $("#large").close());
$("#help-open").addEventListener("click", () => $("#help").showModal());
$("#help-close").addEventListener("click", () => $("#help").close());

$("#filters").addEventListener("submit", (event) => event.preventDefault());
$("#filters").addEventListener("reset", () => setTimeout(applyFilter)); // once the fields are empty
$("#filters").addEventListener("input", (event) => {
  if (event.target.name === "column") offerValues();
  applyFilter();
});
addEventListener("focus", () => run && refresh());

try {
  run = await get("/api/review");
  known = run.number;
  $("#title").textContent = run.title;
  document.title = `${run.title} - hunyuan studio`;
  for (const [status, count] of Object.entries(run.statuses)) {
    $("#filters").elements.status.append(new Option(`${status} (${number.format(count)})`, status));
  }
  for (const column of Object.keys(run.columns)) $("#filters").elements.column.append(new Option(column));
  countVerdicts(run.counts);
  $("#redo-cost").textContent = ` (${number.format(run.credits)} credits)`;
  await applyFilter();
  grid.root.focus();
} catch (problem) {
  $("#shown").textContent = "";
  told(problem.message);
}
