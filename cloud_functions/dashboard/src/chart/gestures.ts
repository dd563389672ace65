import {pan, zoom, type Range} from "./resolution";

export interface GestureTarget {
  view: () => Range;
  area: () => {left: number; width: number};
  /** Show a range that the user chose. */
  show: (range: Range) => void;
  /** Move the cursor by rows, negative to the left. */
  moveCursor: (rows: number) => void;
  /** Follow the newest rows again. */
  follow: () => void;
}

/** Let pointer, wheel, touch and keyboard move and scale the chart in `host`; return a function that removes this. */
export function addGestures(host: HTMLElement, target: GestureTarget): () => void {
  const pointers = new Map<number, number>();
  const stop = new AbortController();
  const options = {signal: stop.signal};
  const fraction = (x: number): number => {
    const {left, width} = target.area();
    return Math.min(1, Math.max(0, (x - host.getBoundingClientRect().left - left) / width));
  };
  host.addEventListener("pointerdown", (event) => {
    if (event.button !== 0) return;
    pointers.set(event.pointerId, event.clientX);
    if (pointers.size === 2 || event.pointerType === "mouse") host.setPointerCapture(event.pointerId);
  }, options);
  host.addEventListener("pointermove", (event) => {
    const before = pointers.get(event.pointerId);
    if (before === undefined || before === event.clientX) return;
    const view = target.view();
    if (pointers.size === 1) {
      target.show(pan(view, (before - event.clientX) / target.area().width));
    } else {
      const other = [...pointers.entries()].find(([id]) => id !== event.pointerId)?.[1] ?? before;
      const was = Math.max(8, Math.abs(before - other));
      const is = Math.max(8, Math.abs(event.clientX - other));
      target.show(zoom(view, was / is, fraction((event.clientX + other) / 2)));
    }
    pointers.set(event.pointerId, event.clientX);
  }, options);
  for (const name of ["pointerup", "pointercancel", "lostpointercapture"] as const) {
    host.addEventListener(name, (event) => pointers.delete(event.pointerId), options);
  }
  host.addEventListener("wheel", (event) => {
    event.preventDefault();
    const view = target.view();
    if (Math.abs(event.deltaX) > Math.abs(event.deltaY)) target.show(pan(view, event.deltaX / target.area().width));
    else target.show(zoom(view, 1.0015 ** event.deltaY, fraction(event.clientX)));
  }, {...options, passive: false});
  host.addEventListener("dblclick", (event) => target.show(zoom(target.view(), 0.5, fraction(event.clientX))), options);
  host.addEventListener("keydown", (event) => {
    const action = keyAction(event.key, event.shiftKey, target);
    if (action === null || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    action();
  }, options);
  return () => stop.abort();
}

/** Return the action of a key, or null. */
export function keyAction(key: string, shift: boolean, target: GestureTarget): (() => void) | null {
  switch (key) {
    case "ArrowLeft":
      return shift ? () => target.moveCursor(-1) : () => target.show(pan(target.view(), -0.2));
    case "ArrowRight":
      return shift ? () => target.moveCursor(1) : () => target.show(pan(target.view(), 0.2));
    case "PageUp":
      return () => target.show(pan(target.view(), -1));
    case "PageDown":
      return () => target.show(pan(target.view(), 1));
    case "+":
    case "=":
    case "ArrowUp":
      return () => target.show(zoom(target.view(), 0.5));
    case "-":
    case "ArrowDown":
      return () => target.show(zoom(target.view(), 2));
    case "End":
      return target.follow;
    default:
      return null;
  }
}
