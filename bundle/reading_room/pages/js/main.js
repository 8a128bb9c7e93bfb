// The frame of the pages: rooms by the hash of the address, theme, keyboard and status line.

import { getJson } from "./api.js";
import { Joints } from "./joints.js";
import { bindKeys, showKeys, startKeyboard } from "./keys.js";
import { clearStatus, reportFault, useStatusLine } from "./status.js";
import { followTheme, nextTheme } from "./theme.js";
import { element } from "./widgets.js";

/**
 * Rooms by their name in the address. A module exports `open(place, house)`, which returns an object with
 * `show(parameters)` for the rest of the address and `close()`. The house is {joints, go, room}.
 */
const ROOMS = {
  list: { title: "List", load: () => import("./list.js") },
  look: { title: "Look", load: () => import("./look.js") },
  measure: { title: "Measure", load: () => import("./measure.js") },
  visits: { title: "Visits", load: () => import("./visits.js") },
  studies: { title: "Studies", load: () => import("./studies.js") },
};

const place = document.getElementById("room");
const tabs = document.getElementById("rooms");
const house = { joints: new Joints(), go, room: {} };
let present = { name: "", opened: null };

/** Go to a room, such as go("look", id). */
function go(name, ...parameters) {
  location.hash = `#/${[name, ...parameters].map(encodeURIComponent).join("/")}`;
}

function addressed() {
  const [name, ...parameters] = location.hash.replace(/^#\/?/, "").split("/").filter(Boolean).map(decoded);
  return offered().includes(name) ? [name, parameters] : [offered()[0], []];
}

/** Names of the rooms that the server offers. */
function offered() {
  const names = Object.keys(ROOMS);
  return names.filter((name) => (house.room.rooms ?? names).includes(name));
}

function decoded(part) {
  try {
    return decodeURIComponent(part);
  } catch {
    return part;
  }
}

async function follow() {
  const [name, parameters] = addressed();
  document.querySelectorAll("dialog").forEach((dialog) => dialog.close());
  try {
    if (present.name !== name && !(await enter(name))) return;
    await present.opened.show(parameters);
  } catch (error) {
    reportFault(error);
  }
}

async function enter(name) {
  const { open } = await ROOMS[name].load();
  if (addressed()[0] !== name) return false;
  present.opened?.close();
  place.replaceChildren();
  clearStatus();
  present = { name, opened: open(place, house) };
  markRoom();
  return true;
}

function markRoom() {
  const { name } = present;
  for (const tab of tabs.children) tab.setAttribute("aria-current", tab.dataset.room === name ? "page" : "false");
  document.title = [ROOMS[name]?.title, house.room.title ?? "Reading room"].filter(Boolean).join(" \u2013 ");
}

/** Ask what the server shows; another one may answer after a fault. */
async function learnRoom() {
  try {
    house.room = await getJson("/api/room");
  } catch (error) {
    reportFault(error);
  }
  showRooms();
}

function showRooms() {
  tabs.replaceChildren(
    ...offered().map((name) => element("a", { href: `#/${name}`, "data-room": name }, ROOMS[name].title)),
  );
  markRoom();
  document.getElementById("title").textContent = house.room.title ?? "Reading room";
  document.getElementById("version").textContent = house.room.version ? `version ${house.room.version}` : "";
}

async function start() {
  useStatusLine(document.getElementById("status"));
  followTheme();
  startKeyboard();
  document.getElementById("theme").addEventListener("click", nextTheme);
  document.getElementById("keys").addEventListener("click", showKeys);
  bindKeys("Everywhere", [
    { keys: ["?"], text: "This table", run: showKeys },
    { keys: ["g"], text: "Go to the list", run: () => go("list") },
    { keys: ["t"], text: "Light, dark or automatic colours", run: nextTheme },
  ]);
  await learnRoom();
  house.joints.addEventListener("recover", learnRoom);
  await house.joints.start();
  addEventListener("hashchange", follow);
  await follow();
}

start();
