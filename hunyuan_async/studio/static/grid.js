// A grid of any number of cells, of which only those in view are in the page.

const GAP_ROWS = 2; // rows kept above and below what is in view

/**
 * @param {HTMLElement} root scrolls; it has role "grid" and keeps the focus
 * @param {object} hooks
 * @param {(index: number, cell: HTMLElement) => void} hooks.fill shows the item of an index in an empty cell
 * @param {(first: number, end: number) => void} hooks.inView is told which indices are in view
 * @param {(index: number) => void} hooks.open is called when a cell is opened
 */
export class Grid {
  constructor(root, hooks) {
    this.root = root;
    this.hooks = hooks;
    this.length = 0;
    this.current = 0;
    this.rows = new Map();
    this.spacer = document.createElement("div");
    this.spacer.setAttribute("role", "presentation");
    root.append(this.spacer);
    root.addEventListener("scroll", () => this.#drawSoon(), { passive: true });
    root.addEventListener("click", (event) => {
      const cell = event.target.closest(".cell");
      if (!cell) return;
      const index = Number(cell.dataset.index);
      if (index === this.current) hooks.open(index);
      else this.move(index);
    });
    new ResizeObserver(() => this.#measure()).observe(root);
  }

  /** Show another list of items, beginning with the one of an index. */
  show(length, current = 0) {
    this.length = length;
    this.current = Math.max(0, Math.min(current, length - 1));
    this.root.hidden = length === 0;
    this.root.setAttribute("aria-rowcount", Math.ceil(length / (this.columns ?? 1)));
    this.#clear();
    this.#measure();
    this.reveal();
  }

  /** Make an index the current one, and bring it into view. */
  move(index) {
    const before = this.current;
    this.current = Math.max(0, Math.min(index, this.length - 1));
    this.refresh(before);
    this.reveal();
    this.refresh(this.current);
  }

  /** Fill the cell of an index again, if it is in the page. */
  refresh(index) {
    const cell = this.rows.get(Math.floor(index / this.columns))?.children[index % this.columns];
    if (cell) this.#fill(cell, index);
  }

  /** Fill all cells in the page again. */
  refreshAll() {
    for (const row of this.rows.values()) {
      for (const cell of row.children) this.#fill(cell, Number(cell.dataset.index));
    }
  }

  reveal() {
    if (!this.length) return;
    const top = Math.floor(this.current / this.columns) * this.rowHeight;
    const { scrollTop, clientHeight } = this.root;
    if (top < scrollTop) this.root.scrollTop = top;
    else if (top + this.rowHeight > scrollTop + clientHeight) this.root.scrollTop = top + this.rowHeight - clientHeight;
    this.#draw();
  }

  /** How far a key moves, or undefined for a key that does not. */
  step(key) {
    const page = Math.max(1, Math.floor(this.root.clientHeight / this.rowHeight)) * this.columns;
    return {
      ArrowLeft: -1, ArrowRight: 1, ArrowUp: -this.columns, ArrowDown: this.columns,
      PageUp: -page, PageDown: page, Home: -this.length, End: this.length,
    }[key];
  }

  #measure() {
    const width = this.root.clientWidth;
    if (!width) return;
    const columns = Math.max(2, Math.floor(width / 200));
    const rowHeight = Math.round((width / columns) * 0.95) + 36;
    if (columns !== this.columns || rowHeight !== this.rowHeight) {
      Object.assign(this, { columns, rowHeight });
      this.#clear();
      this.root.setAttribute("aria-colcount", columns);
      this.root.setAttribute("aria-rowcount", Math.ceil(this.length / columns));
    }
    this.spacer.style.height = `${Math.ceil(this.length / this.columns) * this.rowHeight}px`;
    this.reveal();
  }

  #clear() {
    for (const row of this.rows.values()) row.remove();
    this.rows.clear();
  }

  #drawSoon() {
    this.drawing ??= requestAnimationFrame(() => {
      this.drawing = undefined;
      this.#draw();
    });
  }

  #draw() {
    if (!this.rowHeight || !this.length) return;
    const { scrollTop, clientHeight } = this.root;
    const all = Math.ceil(this.length / this.columns);
    const first = Math.max(0, Math.floor(scrollTop / this.rowHeight) - GAP_ROWS);
    const end = Math.min(all, Math.ceil((scrollTop + clientHeight) / this.rowHeight) + GAP_ROWS);
    for (const [number, row] of this.rows) {
      if (number < first || number >= end) {
        row.remove();
        this.rows.delete(number);
      }
    }
    for (let number = first; number < end; number++) {
      if (!this.rows.has(number)) this.#addRow(number);
    }
    this.hooks.inView(first * this.columns, Math.min(this.length, end * this.columns));
    this.#point();
  }

  #addRow(number) {
    const row = document.createElement("div");
    row.className = "row";
    row.setAttribute("role", "row");
    row.setAttribute("aria-rowindex", number + 1);
    row.style.transform = `translateY(${number * this.rowHeight}px)`;
    row.style.height = `${this.rowHeight}px`;
    row.style.gridTemplateColumns = `repeat(${this.columns}, minmax(0, 1fr))`;
    const end = Math.min(this.length, (number + 1) * this.columns);
    for (let index = number * this.columns; index < end; index++) {
      const cell = document.createElement("div");
      cell.id = `cell-${index}`;
      cell.dataset.index = index;
      cell.setAttribute("role", "gridcell");
      cell.setAttribute("aria-colindex", (index % this.columns) + 1);
      row.append(cell);
      this.#fill(cell, index);
    }
    this.rows.set(number, row);
    this.root.append(row);
  }

  #fill(cell, index) {
    cell.className = index === this.current ? "cell current" : "cell";
    cell.setAttribute("aria-selected", index === this.current);
    cell.replaceChildren();
    this.hooks.fill(index, cell);
    this.#point();
  }

  /** The focus stays on the grid, which cells come and go in; it points to the current one while that is there. */
  #point() {
    const id = `cell-${this.current}`;
    if (document.getElementById(id)) this.root.setAttribute("aria-activedescendant", id);
    else this.root.removeAttribute("aria-activedescendant");
  }
}
