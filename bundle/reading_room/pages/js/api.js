// Requests to the server. Every fault is an Error with a plain sentence.

const SILENT = "The server does not answer. Start it again; this page continues by itself.";

/** Fault that the server or the connection reports. */
export class Fault extends Error {
  constructor(message, status = 0) {
    super(message);
    this.status = status;
  }
}

/** Get an answer as JSON. */
export async function getJson(address) {
  return (await answered(address)).json();
}

/** Get an answer as bytes. */
export async function getBytes(address) {
  return (await answered(address)).arrayBuffer();
}

/** Post an object and return the answer as JSON. */
export async function postJson(address, body = {}) {
  return (await posted(address, body)).json();
}

/** Post an object and return the file of the answer, {blob, name}. */
export async function postForFile(address, body, fallback) {
  const answer = await posted(address, body);
  return { blob: await answer.blob(), name: fileName(answer.headers.get("Content-Disposition")) ?? fallback };
}

/** Address of a joint, or of a part of it. */
export function jointAddress(id, part = "") {
  return `/api/joints/${encodeURIComponent(id)}${part && `/${part}`}`;
}

function posted(address, body) {
  return answered(address, {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify(body),
  });
}

async function answered(address, options = {}) {
  let answer;
  try {
    answer = await fetch(address, options);
  } catch {
    throw new Fault(SILENT);
  }
  if (!answer.ok) throw new Fault(await reason(answer), answer.status);
  return answer;
}

async function reason(answer) {
  try {
    const { error } = await answer.json();
    if (typeof error === "string" && error) return error;
  } catch {
    // An answer without JSON has no sentence of its own.
  }
  return `The server answered with error ${answer.status}.`;
}

function fileName(header) {
  const encoded = /filename\*=(?:utf-8|UTF-8)''([^;]+)/.exec(header ?? "");
  if (encoded) return decodeURIComponent(encoded[1]);
  return /filename="?([^";]+)"?/.exec(header ?? "")?.[1] ?? null;
}
