// Rows of a long table: only those in sight are in the page.

const BEYOND_PX = 300;

/**
 * Rows of fixed heights in a scrolling element.
 *
 * An entry is {key, height, content, make}: `make` makes its element, which is kept as long as `content` is the same.
 */
export class ScrolledRows {
  constructor(scroller, body, drawn = () => {}) {
    Object.assign(this, { scroller, body, drawn, shown: new Map(), entries: [], offsets: [0], places: new Map() });
    scroller.addEventListener("scroll", () => this.request());
    this.observer = new ResizeObserver(() => this.request());
    this.observer.observe(scroller);
  }

  /** Show other entries; the first row in sight stays where it is. */
  show(entries) {
    const kept = this.anchor();
    this.entries = entries;
    this.offsets = [0];
    for (const { height } of entries) this.offsets.push(this.offsets.at(-1) + height);
    this.places = new Map(entries.map(({ key }, index) => [key, index]));
    this.body.style.height = `${this.offsets.at(-1)}px`;
    if (kept && this.places.has(kept.key)) this.scroller.scrollTop = this.top(kept.key) - kept.distance;
    this.draw();
  }

  /** Make all rows again, as after a change of the columns. */
  forget() {
    this.shown.forEach(({ element }) => element.remove());
    this.shown.clear();
  }

  /** Scroll until a row is in sight below a head of some height. */
  reveal(key, headHeight) {
    const visible = this.scroller.clientHeight - headHeight;
    const [top, index] = [this.scroller.scrollTop, this.places.get(key)];
    if (this.offsets[index] < top) this.scroller.scrollTop = this.offsets[index];
    else if (this.offsets[index + 1] > top + visible) this.scroller.scrollTop = this.offsets[index + 1] - visible;
    this.draw();
  }

  /** Stop drawing. */
  close() {
    this.observer.disconnect();
    cancelAnimationFrame(this.requested);
  }

  top(key) {
    return this.offsets[this.places.get(key)];
  }

  anchor() {
    const { scrollTop } = this.scroller;
    if (!scrollTop || !this.entries.length) return null;
    const index = Math.min(this.indexAt(scrollTop), this.entries.length - 1);
    return { key: this.entries[index].key, distance: this.offsets[index] - scrollTop };
  }

  indexAt(offset) {
    let [low, high] = [0, this.entries.length];
    while (low < high) {
      const middle = (low + high + 1) >> 1;
      if (this.offsets[middle] <= offset) low = middle;
      else high = middle - 1;
    }
    return low;
  }

  request() {
    this.requested ||= requestAnimationFrame(() => {
      this.requested = 0;
      this.draw();
    });
  }

  draw() {
    const { scrollTop, clientHeight } = this.scroller;
    const past = scrollTop + clientHeight + BEYOND_PX;
    const wanted = new Set();
    for (let index = this.indexAt(scrollTop - BEYOND_PX); index < this.entries.length; index += 1) {
      if (this.offsets[index] >= past) break;
      wanted.add(this.place(index));
    }
    for (const [key, { element }] of this.shown) {
      if (wanted.has(key)) continue;
      element.remove();
      this.shown.delete(key);
    }
    this.drawn();
  }

  place(index) {
    const { key, content, make } = this.entries[index];
    const before = this.shown.get(key);
    const current = before?.content === content;
    const element = current ? before.element : make();
    if (!current) {
      before?.element.remove();
      this.body.append(element);
      this.shown.set(key, { content, element });
    }
    element.style.transform = `translateY(${this.offsets[index]}px)`;
    element.setAttribute("aria-rowindex", String(index + 2));
    return key;
  }
}
