// Small words for making parts of a page.

export const $ = (selector) => document.querySelector(selector);
export const number = new Intl.NumberFormat("en");
const dollars = new Intl.NumberFormat("en", { style: "currency", currency: "USD" });
export const times = (size) => size.replace(/[*x]/i, " \u00d7 ");

export function element(tag, className, ...content) {
  const made = document.createElement(tag);
  if (className) made.className = className;
  made.append(...content);
  return made;
}

/** Text from outside, which keeps its direction to itself. */
export function isolated(text, className = "") {
  const made = element("bdi", className, text);
  made.dir = "auto";
  return made;
}

export function button(words, action, className = "") {
  const made = element("button", className, words);
  made.type = "button";
  made.addEventListener("click", action);
  return made;
}

/** Show words in a place that is hidden while there are none. */
export function tell(place, text) {
  place.textContent = text;
  place.hidden = !text;
}

/** What an image may cost or has cost, as credits and dollars. */
export function cost(credits, service) {
  return `${number.format(credits)} credits (${dollars.format(credits * service.usd_per_credit)})`;
}

export function seconds(amount) {
  if (amount < 10) return `${amount.toFixed(1)} s`;
  return amount < 100 ? `${Math.round(amount)} s` : `${Math.round(amount / 60)} min`;
}

/** Whether keys belong to what is being typed. */
export function isTyping(event) {
  return event.target.closest("input:not([type=checkbox], [type=radio]), textarea, select") !== null;
}

for (const dialog of document.querySelectorAll("dialog")) {
  dialog.addEventListener("click", (event) => {
    if (event.target === dialog || event.target.closest("[data-close]")) dialog.close();
  });
}
