/**
 * The store: the page's whole state as one value that is never changed in place.
 *
 * Pure functions make the next value from the last one; views read it. Several changes in a row are shown once.
 *
 * @template State
 * @param {State} initial
 * @returns {Store<State>}
 *
 * @template State
 * @typedef {object} Store
 * @property {() => State} get
 * @property {(change: (state: State) => State) => void} update
 * @property {(reader: (state: State) => void) => void} subscribe Calls the reader now and after each change.
 */
export function createStore(initial) {
  let state = initial;
  let pending = false;
  const readers = [];

  function tell() {
    pending = false;
    for (const reader of readers) reader(state);
  }

  return {
    get: () => state,
    update(change) {
      const next = change(state);
      if (next === state) return;
      state = next;
      if (!pending) queueMicrotask(tell);
      pending = true;
    },
    subscribe(reader) {
      readers.push(reader);
      reader(state);
    },
  };
}
