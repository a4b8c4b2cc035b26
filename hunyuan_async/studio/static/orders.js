// The orders as this tab knows them: pages of the store, and every change since.

import { get } from "./api.js";

const ACTIVE = new Set(["waiting", "sending", "running", "saving"]);
const AGAIN = 1000; // milliseconds between two tries, once the browser has given up trying by itself

export const isActive = (order) => ACTIVE.has(order.state);

/** Tells "change" with the order, and "line" with how the connection stands: "live", "lost" or "refused". */
export class Orders extends EventTarget {
  #orders = new Map(); // by handle
  #last = 0; // the newest change that is known
  #oldest; // the number of the last order that was paged to
  more = false;

  /** All that are known, the newest first. */
  all() {
    return [...this.#orders.values()].sort((one, other) => other.number - one.number);
  }

  get(handle) {
    return this.#orders.get(handle);
  }

  async start() {
    await this.older();
    this.#follow();
  }

  async older() {
    const page = await get("/api/orders", this.#oldest === undefined ? {} : { before: this.#oldest });
    this.more = page.more;
    this.take(page.orders);
    if (page.orders.length) this.#oldest = page.orders.at(-1).number;
  }

  /** Learn of orders, from wherever they come: the newest change of each counts. */
  take(orders) {
    for (const order of orders) {
      this.#last = Math.max(this.#last, order.change);
      const known = this.#orders.get(order.handle);
      if (known && known.change >= order.change) continue;
      this.#orders.set(order.handle, order);
      this.dispatchEvent(new CustomEvent("change", { detail: { order, before: known } }));
    }
  }

  #follow() {
    const source = new EventSource(`/api/events?after=${this.#last}`);
    const given = () => {
      source.close();
      setTimeout(() => this.#comeBack(), AGAIN);
    };
    source.addEventListener("open", () => this.#tell("live"));
    source.addEventListener("order", (event) => this.take([JSON.parse(event.data)]));
    source.addEventListener("error", () => {
      this.#tell("lost");
      if (source.readyState === EventSource.CLOSED) given();
    });
  }

  /** Find out why the server will not talk: it may be gone, or have been started again with another token. */
  async #comeBack() {
    try {
      await get("/api/statistics");
    } catch (problem) {
      this.#tell(problem.status === 403 ? "refused" : "lost");
      setTimeout(() => this.#comeBack(), AGAIN);
      return;
    }
    this.#follow();
  }

  #tell(state) {
    this.dispatchEvent(new CustomEvent("line", { detail: state }));
  }
}
