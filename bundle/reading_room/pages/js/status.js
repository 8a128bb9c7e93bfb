// The status line at the bottom of the page.

let line = null;

/** Use an element as the status line. */
export function useStatusLine(element) {
  line = element;
}

/** Report a message. */
export function report(text) {
  show(text, "note");
}

/** Report a fault. */
export function reportFault(error) {
  show(error instanceof Error ? error.message : String(error), "fault");
}

/** Run something after a new message line; a fault is reported. */
export async function attempt(run) {
  clearStatus();
  try {
    await run();
  } catch (error) {
    reportFault(error);
  }
}

/** Remove the message, or only that message. */
export function clearStatus(text = null) {
  if (line && (text === null || line.textContent === text)) show("", "note");
}

function show(text, kind) {
  if (!line) return;
  line.textContent = text;
  line.dataset.kind = kind;
  line.title = text;
}
