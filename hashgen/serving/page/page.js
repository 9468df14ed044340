// Suggestions while a post is being written. No framework, no build step: what is here is what runs.

const $ = (id) => document.getElementById(id);
const caption = $("caption");
const DEBOUNCE = 120; // ms without a key before the server is asked
const SHOWN = 12; // suggestions asked for
const MAX_TAGS = 100;
const MAX_BANS = 1000;
const LETTERS = "\\p{L}\\p{M}\\p{N}_";
// As the server reads them: a letter at least; none in an address.
const TYPED = new RegExp(`(?<![&/?=])[#＃](?=[${LETTERS}]*\\p{L})([${LETTERS}]+)`, "gu");
const UNFINISHED = new RegExp(`(?<![&/?=])[#＃]([${LETTERS}]*)$`, "u");
const GOES_ON = new RegExp(`^[${LETTERS}]`, "u");

const state = {
  about: null,
  file: null, // the picture's bytes, to be sent again if the server forgot it
  picture: null, // its name at the server
  chosen: [],
  banned: [],
  suggested: [],
  unfinished: null, // {start, end, prefix} of the hashtag at the caret
  asked: null, // the question that `suggested` answers
  reasons: null, // a promise of why, for the same question
  leaving: false, // Esc was pressed: the next Tab moves on
};

// ---- What the browser keeps: settings and sets, never a caption or a picture.

function kept(key, otherwise) {
  try {
    return JSON.parse(localStorage.getItem(`hashgen.${key}`)) ?? otherwise;
  } catch {
    return otherwise;
  }
}

function keep(key, value) {
  try {
    localStorage.setItem(`hashgen.${key}`, JSON.stringify(value));
  } catch {
    // A private window may keep nothing; the page works without.
  }
}

const names = (value) => (Array.isArray(value) ? value.filter((name) => typeof name === "string") : []);
const keptSets = () => (Array.isArray(kept("sets", [])) ? kept("sets", []) : []);

// ---- Small tools

function make(tag, attributes = {}, ...children) {
  const element = document.createElement(tag);
  for (const [name, value] of Object.entries(attributes)) {
    if (name.startsWith("on")) element.addEventListener(name.slice(2), value);
    else element.setAttribute(name, value);
  }
  element.append(...children);
  return element;
}

const same = (one, other) => one.toLowerCase() === other.toLowerCase();
const has = (list, tag) => list.some((one) => same(one, tag));
const percent = (value) => (value < 0.01 ? "<1%" : `${Math.round(value * 100)}%`);
const wait = (milliseconds) => new Promise((done) => setTimeout(done, milliseconds));

let saying;
function say(text, delay = 0) {
  clearTimeout(saying);
  saying = setTimeout(() => ($("said").textContent = text), delay);
}

function trouble(text, place = "trouble") {
  if ($(place).textContent !== (text ?? "")) $(place).textContent = text ?? "";
  $(place).hidden = !text;
}

class Refused extends Error {
  constructor(status, message, seconds) {
    super(message);
    this.status = status;
    this.seconds = seconds;
  }
}

async function call(path, options = {}) {
  const response = await fetch(path, options);
  if (response.ok) return response.json();
  const body = await response.json().catch(() => ({}));
  const seconds = Number(response.headers.get("Retry-After")) || 1;
  throw new Refused(response.status, body.error ?? `the server answered ${response.status}`, seconds);
}

// Do it until the server can: it may be starting, busy, or away. `signal` ends that.
async function persist(work, signal) {
  for (;;) {
    try {
      const result = await work();
      trouble(null);
      return result;
    } catch (error) {
      if (signal?.aborted || error.name === "AbortError") throw error;
      if (error instanceof Refused && error.status !== 503) throw error;
      const gone = !(error instanceof Refused);
      trouble(gone ? "The server does not answer. Is hashgen serve still running? Trying again…" : `One moment: ${error.message}`);
      await wait(1000 * (gone ? 2 : error.seconds));
      if (signal?.aborted) throw new DOMException("", "AbortError");
    }
  }
}

// ---- The caption and its hashtags

function readCaption() {
  const text = caption.value;
  const caret = caption.selectionStart;
  const found = document.activeElement === caption && caret === caption.selectionEnd ? text.slice(0, caret).match(UNFINISHED) : null;
  state.unfinished =
    found && !GOES_ON.test(text.slice(caret)) ? { start: found.index, end: caret, prefix: found[1] } : null;
}

function typedTags() {
  const unfinished = state.unfinished;
  const found = [...caption.value.matchAll(TYPED)].filter((match) => match.index !== unfinished?.start);
  return unique(found.map((match) => match[1]));
}

function unique(tags) {
  return tags.filter((tag, place) => tags.findIndex((one) => same(one, tag)) === place);
}

const allTags = () => unique([...typedTags(), ...state.chosen]);

function offSets() {
  const active = names(kept("active", []));
  return keptSets().filter((set) => set.kind === "off" && active.includes(set.name)).flatMap((set) => names(set.tags));
}

function platform() {
  return state.about?.platforms.find((one) => one.name === $("platform").value);
}

function isFull() {
  const limit = platform()?.limit ?? null;
  return limit !== null && allTags().length >= limit;
}

// ---- Asking

let timer;
let asking = new AbortController();
let number = 0;

function refresh(delay = 0) {
  clearTimeout(timer);
  hideWhy();
  renderYours();
  timer = setTimeout(ask, delay);
}

function question() {
  const unfinished = state.unfinished;
  const text = unfinished ? caption.value.slice(0, unfinished.start) + caption.value.slice(unfinished.end) : caption.value;
  const asked = {
    caption: text,
    tags: allTags().filter((tag) => tag.length <= 150).slice(0, MAX_TAGS),
    max: SHOWN, // the platform's limit is counted here: there is more to choose from than it takes
    mix: document.querySelector("[name=mix]:checked").value,
    ban: unique([...state.banned, ...offSets()]).slice(0, MAX_BANS),
    prefix: unfinished?.prefix.slice(0, 150) ?? "",
  };
  if (state.picture) asked.picture = state.picture;
  return asked;
}

async function post(asked, signal) {
  const body = JSON.stringify(asked);
  const headers = { "Content-Type": "application/json" };
  return persist(() => call("/api/suggest", { method: "POST", headers, body, signal }), signal);
}

async function ask() {
  asking.abort();
  asking = new AbortController();
  const { signal } = asking;
  const mine = ++number;
  const asked = question();
  if (!asked.picture && !asked.caption.trim()) {
    show({ hashtags: [], warnings: [] }, null);
    return;
  }
  const slow = setTimeout(() => $("chips").classList.add("waiting"), 300);
  try {
    const answer = await post(asked, signal);
    if (mine === number) show(answer, asked);
  } catch (error) {
    if (mine !== number || error.name === "AbortError") return;
    if (error.status === 404 && state.file) send(state.file);
    // Hashtags, links and names alone are nothing to go by.
    else if (error.status === 422 && !asked.picture) show({ hashtags: [], warnings: [] }, null);
    else trouble(error.message);
  } finally {
    clearTimeout(slow);
    if (mine === number) $("chips").classList.remove("waiting");
  }
}

function show(answer, asked) {
  state.suggested = answer.hashtags;
  state.asked = asked;
  state.reasons = null;
  renderChips();
  const isEmpty = answer.hashtags.length === 0;
  $("empty").hidden = !isEmpty;
  $("empty").textContent = !asked
    ? "Add a picture or start to write. Hashtags appear here as you type."
    : asked.prefix
      ? `No hashtag that the model knows starts with #${asked.prefix}.`
      : "Nothing fits. Write a little more, or take something off the kept-off list.";
  // What is said at the top is said again beside the hashtags of a picture of one's own; an example comes as a Blob.
  const known = state.file instanceof File ? [] : (state.about?.model.warnings ?? []);
  $("notes").replaceChildren(
    ...answer.warnings.filter((text) => !known.includes(text)).map((text) => make("li", {}, sentence(text))),
  );
  if (asked) {
    const count = answer.hashtags.length;
    say(isEmpty ? "No suggestions" : `${count} ${count === 1 ? "suggestion" : "suggestions"}, first #${answer.hashtags[0].hashtag}`, 700);
  }
}

const sentence = (text) => `${text.charAt(0).toUpperCase()}${text.slice(1)}${/[.!?]$/.test(text) ? "" : "."}`;

// ---- Chips

// A chip that stays keeps its element: a click that has begun, a hover and the focus outlive an answer.
const chips = new Map();

function renderChips() {
  const list = $("chips");
  const focused = list.contains(document.activeElement) ? document.activeElement : null;
  const place = focused && [...list.children].indexOf(focused.closest("li"));
  const items = state.suggested.map((one) => {
    const item = chips.get(one.hashtag) ?? newChip(one.hashtag);
    item.suggestion = one;
    item.querySelector(".share").textContent = percent(one.confidence);
    item.querySelector(".take").setAttribute("aria-label", `Take #${one.hashtag}, ${percent(one.confidence)} sure`);
    item.style.setProperty("--share", `${Math.round(one.confidence * 100)}%`);
    return item;
  });
  chips.clear();
  for (const item of items) chips.set(item.dataset.hashtag, item);
  for (const item of [...list.children]) if (!items.includes(item)) item.remove();
  items.forEach((item, at) => {
    if (list.children[at] !== item) list.insertBefore(item, list.children[at] ?? null);
    item.classList.toggle("first", at === 0 && !isFull());
  });
  if (focused && document.activeElement !== focused) {
    const next = focused.isConnected ? focused : items[Math.min(place, items.length - 1)]?.querySelector(`.${focused.className}`);
    (next ?? caption).focus();
  }
}

function newChip(hashtag) {
  const item = make(
    "li",
    { class: "chip", "data-hashtag": hashtag },
    make("button", { class: "take", type: "button", "aria-keyshortcuts": "Delete", onclick: () => take(hashtag) }, `#${hashtag}`),
    make("button", { class: "share", type: "button", tabindex: "-1", "aria-label": `Why #${hashtag}?`, onclick: () => showWhy(item) }),
    make("button", { class: "off", type: "button", "aria-label": `Keep #${hashtag} off`, onclick: () => ban(hashtag) }, "×"),
  );
  let hover;
  item.addEventListener("pointerenter", (event) => {
    if (event.pointerType === "mouse") hover = setTimeout(() => showWhy(item), 350);
  });
  item.addEventListener("pointerleave", () => {
    clearTimeout(hover);
    hideWhy();
  });
  item.addEventListener("focusin", (event) => event.target.matches(":focus-visible") && showWhy(item));
  item.addEventListener("focusout", hideWhy);
  return item;
}

function chipOf(tag, kind, label, onclick) {
  const item = make("li", { class: `chip ${kind}`, "data-hashtag": tag }, make("span", { class: "name" }, `#${tag}`));
  if (label) item.append(make("button", { class: "off", type: "button", "aria-label": label, onclick }, kind === "gone" ? "↺" : "×"));
  return item;
}

// Replace the items of a list; the focus stays about where it was.
function refill(list, items, otherwise) {
  const place = [...list.children].findIndex((item) => item.contains(document.activeElement));
  list.replaceChildren(...items);
  if (place >= 0) (list.children[Math.min(place, items.length - 1)]?.querySelector("button") ?? otherwise).focus();
}

function renderYours() {
  const typed = typedTags();
  const chosen = state.chosen.filter((tag) => !has(typed, tag));
  refill(
    $("chosen"),
    [
      ...typed.map((tag) => chipOf(tag, "typed")),
      ...chosen.map((tag) => chipOf(tag, "mine", `Remove #${tag}`, () => drop(tag))),
    ],
    caption,
  );
  refill($("banned"), state.banned.map((tag) => chipOf(tag, "gone", `Allow #${tag} again`, () => allow(tag))), caption);
  $("kept-off").hidden = state.banned.length === 0;
  const count = allTags().length;
  $("none").hidden = count > 0;
  $("copy").disabled = count === 0 && !caption.value.trim();
  $("copy-tags").disabled = count === 0;
  const where = platform();
  if (!where) return;
  const over = where.limit !== null && count > where.limit;
  $("counter").textContent =
    where.limit === null ? `${count} for ${where.label}` : `${count} of ${where.limit} for ${where.label}${over ? `: ${count - where.limit} too many` : ""}`;
  $("counter").classList.toggle("over", over);
}

function take(tag) {
  const unfinished = state.unfinished;
  const inChips = $("chips").contains(document.activeElement);
  if (unfinished && !inChips) {
    const before = caption.value.slice(0, unfinished.start);
    const after = caption.value.slice(unfinished.end).replace(/^ /, "");
    caption.value = `${before}#${tag} ${after}`;
    const caret = unfinished.start + tag.length + 2;
    caption.setSelectionRange(caret, caret);
    readCaption();
  } else if (!has(allTags(), tag)) {
    state.chosen.push(tag);
  }
  state.suggested = state.suggested.filter((one) => one.hashtag !== tag);
  refresh();
  renderChips();
  say(`#${tag} taken. ${$("counter").textContent}`);
}

function drop(tag) {
  state.chosen = state.chosen.filter((one) => one !== tag);
  refresh();
  say(`#${tag} removed. ${$("counter").textContent}`);
}

function ban(tag) {
  if (!has(state.banned, tag)) state.banned.push(tag);
  keep("banned", state.banned);
  state.suggested = state.suggested.filter((one) => one.hashtag !== tag);
  refresh();
  renderChips();
  say(`#${tag} is kept off`);
}

function allow(tag) {
  state.banned = state.banned.filter((one) => one !== tag);
  keep("banned", state.banned);
  refresh();
  say(`#${tag} may be suggested again`);
}

// ---- Why

let pointed = null;

async function showWhy(item) {
  pointed = item;
  const one = item.suggestion;
  const asked = state.asked;
  // Asked for once for all chips of an answer, when somebody wants to know.
  state.reasons ??= call("/api/suggest", {
    method: "POST",
    headers: { "Content-Type": "application/json" },
    body: JSON.stringify({ ...asked, explain: true }),
  }).catch(() => null);
  const answer = await state.reasons;
  if (pointed !== item || !item.isConnected) return;
  const why = answer?.hashtags.find((other) => other.hashtag === one.hashtag)?.why;
  const box = $("why");
  box.replaceChildren(make("ul", {}, ...reasons(one, why).map((text) => make("li", {}, text))));
  box.hidden = false;
  const chip = item.getBoundingClientRect();
  const left = Math.max(16, Math.min(chip.left, document.documentElement.clientWidth - box.offsetWidth - 16));
  box.style.left = `${left + scrollX}px`;
  // Below the chip; above it where the screen ends.
  const fits = chip.bottom + 8 + box.offsetHeight <= innerHeight || chip.top - 8 - box.offsetHeight < 0;
  box.style.top = `${scrollY + (fits ? chip.bottom + 8 : chip.top - 8 - box.offsetHeight)}px`;
  item.querySelector(".take").setAttribute("aria-describedby", "why");
}

function reasons(one, why) {
  const found = [];
  if (why?.copied) found.push("Your caption says it");
  if (why?.words?.length) found.push(`Words that speak for it: ${why.words.map((word) => `“${word}”`).join(", ")}`);
  if (typeof why?.picture === "number") found.push(`The picture ${weighs(why.picture)}`);
  if (typeof why?.caption === "number") found.push(`The caption ${weighs(why.caption)}`);
  if (why?.tags?.length) found.push(`Often beside ${why.tags.map((tag) => `#${tag}`).join(", ")}`);
  if (why?.mine) found.push("You have used it yourself");
  found.push(`${one.posts.toLocaleString("en")} ${one.posts === 1 ? "training post has" : "training posts have"} it`);
  if (why?.posts?.length) found.push(`Like the posts ${why.posts.slice(0, 3).join(", ")}`);
  return found;
}

function weighs(difference) {
  const points = Math.round(difference * 100);
  if (points === 0) return "makes no difference";
  return `${points > 0 ? "adds" : "takes away"} ${Math.abs(points)} ${Math.abs(points) === 1 ? "point" : "points"} of 100`;
}

function hideWhy() {
  pointed = null;
  $("why").hidden = true;
}

// ---- The picture

let sending = new AbortController();

function setPicture(file) {
  trouble(null, "refused");
  const limit = state.about?.limits.picture_bytes ?? Infinity;
  if (file.size > limit) {
    trouble(`This picture has ${(file.size / 2 ** 20).toFixed(1)} MB; the most is ${limit / 2 ** 20} MB. Choose a smaller one.`, "refused");
    return;
  }
  forgetPicture();
  state.file = file;
  const preview = $("preview");
  preview.src = URL.createObjectURL(file);
  preview.hidden = false;
  $("invite").hidden = true;
  $("picture-bar").hidden = false;
  $("drop").classList.add("full");
  send(file);
}

async function send(file) {
  sending.abort();
  sending = new AbortController();
  const { signal } = sending;
  state.picture = null;
  $("reading").hidden = false;
  try {
    const headers = { "Content-Type": file.type.startsWith("image/") ? file.type : "image/unknown" };
    const answer = await persist(() => call("/api/pictures", { method: "POST", headers, body: file, signal }), signal);
    if (signal.aborted) return;
    state.picture = answer.picture;
    say("Picture read");
    refresh();
  } catch (error) {
    if (signal.aborted) return;
    forgetPicture();
    trouble(sentence(error.message), "refused");
    refresh();
  } finally {
    if (!signal.aborted) $("reading").hidden = true;
  }
}

function forgetPicture() {
  sending.abort();
  if ($("preview").src) URL.revokeObjectURL($("preview").src);
  $("preview").removeAttribute("src");
  $("preview").hidden = true;
  $("invite").hidden = false;
  $("picture-bar").hidden = true;
  $("reading").hidden = true;
  $("drop").classList.remove("full");
  $("file").value = "";
  state.file = null;
  state.picture = null;
}

const pictureIn = (transfer) => [...(transfer?.files ?? [])].find((file) => file.type.startsWith("image/") || file.type === "");

async function loadExamples() {
  const found = await call("/api/examples").catch(() => []);
  $("examples").hidden = found.length === 0;
  $("example-list").replaceChildren(
    ...found.map((example) =>
      make(
        "li",
        {},
        make(
          "button",
          { type: "button", title: example.caption, onclick: () => tryExample(example) },
          make("img", { src: example.picture, alt: `Try: ${example.caption}`, loading: "lazy" }),
        ),
      ),
    ),
  );
}

async function tryExample(example) {
  const response = await fetch(example.picture).catch(() => null);
  if (!response?.ok) {
    trouble("The example cannot be loaded. Is hashgen serve still running?");
    return;
  }
  caption.value = example.caption;
  state.chosen = [];
  readCaption();
  setPicture(await response.blob());
  renderYours();
}

// ---- Copying

async function copy(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    // Without https, and not on this machine, browsers have the old way only.
    const area = make("textarea", { class: "unseen" });
    area.value = text;
    document.body.append(area);
    area.select();
    const done = document.execCommand("copy");
    area.remove();
    if (!done) {
      trouble("The browser does not let this page copy. Select the text and copy it yourself.");
      return;
    }
  }
  const button = $(what);
  button.dataset.label ??= button.textContent;
  button.textContent = "Copied";
  say("Copied");
  setTimeout(() => (button.textContent = button.dataset.label), 1500);
}

function copyAll() {
  const typed = typedTags();
  const added = state.chosen.filter((tag) => !has(typed, tag)).map((tag) => `#${tag}`).join(" ");
  copy([caption.value.trim(), added].filter(Boolean).join("\n\n"), "copy");
}

// ---- Saved sets

function renderSets() {
  const active = names(kept("active", []));
  const sets = keptSets();
  refill(
    $("sets"),
    sets.map((set) => {
      const tags = names(set.tags);
      const item = make("li", {}, make("span", { class: "about" }, make("strong", {}, String(set.name)), ` ${tags.map((tag) => `#${tag}`).join(" ")}`));
      if (set.kind === "off") {
        const box = make("input", {
          type: "checkbox",
          onchange: () => {
            keep("active", box.checked ? [...active, set.name] : active.filter((name) => name !== set.name));
            renderSets();
            refresh();
          },
        });
        box.checked = active.includes(set.name);
        item.append(make("label", {}, box, " Keep off"));
      } else {
        item.append(make("button", { class: "second", type: "button", "aria-label": `Add the set ${set.name}`, onclick: () => addSet(tags) }, "Add"));
      }
      item.append(make("button", { class: "quiet", type: "button", "aria-label": `Delete the set ${set.name}`, onclick: () => deleteSet(set) }, "Delete"));
      return item;
    }),
    $("set-name"),
  );
}

function addSet(tags) {
  state.chosen = unique([...state.chosen, ...tags]);
  refresh();
  say(`Added. ${$("counter").textContent}`);
}

function deleteSet(set) {
  keep("sets", keptSets().filter((one) => one.name !== set.name || one.kind !== set.kind));
  if (set.kind === "off") keep("active", names(kept("active", [])).filter((name) => name !== set.name));
  renderSets();
  refresh();
}

function saveSet(event) {
  event.preventDefault();
  const name = $("set-name").value.trim();
  const kind = $("set-kind").value;
  const tags = kind === "add" ? allTags() : state.banned;
  if (!name || tags.length === 0) {
    say(name ? "There are no hashtags to save" : "Give the set a name");
    $("set-name").setCustomValidity(name ? "There are no hashtags to save yet" : "Give the set a name");
    $("set-name").reportValidity();
    return;
  }
  keep("sets", [...keptSets().filter((set) => set.name !== name || set.kind !== kind), { name, kind, tags }]);
  if (kind === "off") {
    // The set keeps them off from now on.
    keep("active", unique([...names(kept("active", [])), name]));
    state.banned = [];
    keep("banned", []);
  }
  $("set-name").value = "";
  renderSets();
  refresh();
  say(`Saved as ${name}`);
}

// ---- Light and dark

const dark = matchMedia("(prefers-color-scheme: dark)");

function theme(chosen) {
  if (chosen) document.documentElement.dataset.theme = chosen;
  const isDark = (document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light")) === "dark";
  $("theme").textContent = isDark ? "Light" : "Dark";
  $("theme").setAttribute("aria-label", isDark ? "Use light colours" : "Use dark colours");
  return isDark;
}

// ---- Wiring

function listen() {
  caption.addEventListener("input", () => {
    state.leaving = false;
    readCaption();
    refresh(DEBOUNCE);
  });
  caption.addEventListener("keydown", (event) => {
    if (event.key === "Escape") state.leaving = true;
    const first = state.suggested[0];
    const takes = event.key === "Tab" && !event.shiftKey && !event.ctrlKey && !event.altKey && !event.metaKey;
    if (!takes || !first || state.leaving || (isFull() && !state.unfinished)) return;
    event.preventDefault();
    take(first.hashtag);
  });
  // The caret was moved into or out of a hashtag.
  document.addEventListener("selectionchange", () => {
    if (document.activeElement !== caption) return;
    const before = JSON.stringify(state.unfinished);
    readCaption();
    if (before !== JSON.stringify(state.unfinished)) refresh(DEBOUNCE);
  });
  caption.addEventListener("blur", () => {
    state.leaving = false;
    if (!state.unfinished) return;
    readCaption();
    refresh(DEBOUNCE);
  });
  // A click on a chip leaves the caret in the caption, and with it the hashtag that is being typed.
  $("chips").addEventListener("pointerdown", (event) => document.activeElement === caption && event.preventDefault());
  $("chips").addEventListener("mousedown", (event) => document.activeElement === caption && event.preventDefault());
  $("chips").addEventListener("keydown", (event) => {
    const item = event.target.closest("li");
    if (event.key === "Delete") ban(item.dataset.hashtag);
    if (event.key === "ArrowRight") item.nextElementSibling?.querySelector(".take").focus();
    if (event.key === "ArrowLeft") item.previousElementSibling?.querySelector(".take").focus();
  });
  document.addEventListener("keydown", (event) => event.key === "Escape" && hideWhy());
  document.addEventListener("click", (event) => event.target.closest("#chips") || hideWhy());

  $("file").addEventListener("change", () => $("file").files[0] && setPicture($("file").files[0]));
  $("remove").addEventListener("click", () => {
    forgetPicture();
    $("file").focus();
    refresh();
  });
  document.addEventListener("dragover", (event) => {
    event.preventDefault();
    $("drop").classList.add("over");
  });
  document.addEventListener("dragleave", (event) => event.relatedTarget || $("drop").classList.remove("over"));
  document.addEventListener("drop", (event) => {
    event.preventDefault();
    $("drop").classList.remove("over");
    const file = pictureIn(event.dataTransfer);
    if (file) setPicture(file);
    else trouble("That is not a picture. Drop a JPEG, PNG, WebP or GIF file.", "refused");
  });
  document.addEventListener("paste", (event) => {
    const file = pictureIn(event.clipboardData);
    if (!file) return;
    event.preventDefault();
    setPicture(file);
  });

  for (const input of document.querySelectorAll("[name=mix]")) {
    input.addEventListener("change", () => {
      keep("mix", input.value);
      refresh();
    });
  }
  $("platform").addEventListener("change", () => {
    keep("platform", $("platform").value);
    refresh();
    renderChips();
  });
  $("copy").addEventListener("click", copyAll);
  $("copy-tags").addEventListener("click", () => copy(allTags().map((tag) => `#${tag}`).join(" "), "copy-tags"));
  $("clear").addEventListener("click", () => {
    caption.value = "";
    state.chosen = [];
    state.unfinished = null;
    trouble(null, "refused");
    forgetPicture();
    refresh();
    caption.focus();
  });
  $("save").addEventListener("submit", saveSet);
  $("set-name").addEventListener("input", () => $("set-name").setCustomValidity(""));
  $("theme").addEventListener("click", () => {
    const next = theme() ? "light" : "dark";
    keep("theme", next);
    theme(next);
  });
  dark.addEventListener("change", () => theme());
}

function banner(model) {
  if (model.posts === null) return model.warnings.map(sentence).join(" ");
  const count = (value) => value.toLocaleString("en");
  const drawn = model.source === "sample" ? "drawn posts of the built-in sample" : `posts (source: ${model.source})`;
  const text = `This model learnt from ${count(model.posts)} ${drawn} and knows ${count(model.hashtags)} hashtags, no others.`;
  return [text, ...model.warnings.map(sentence)].join(" ");
}

async function start() {
  const chosen = kept("theme", null);
  theme(chosen === "light" || chosen === "dark" ? chosen : null);
  state.banned = names(kept("banned", []));
  const mix = document.querySelector(`[name=mix][value="${CSS.escape(String(kept("mix", "balanced")))}"]`);
  if (mix) mix.checked = true;
  listen();
  renderSets();
  state.about = await persist(() => call("/api/about"));
  $("banner").textContent = banner(state.about.model);
  $("platform").replaceChildren(
    ...state.about.platforms.map((one) => make("option", { value: one.name }, one.limit === null ? one.label : `${one.label} (${one.limit})`)),
  );
  const where = kept("platform", "instagram");
  if (state.about.platforms.some((one) => one.name === where)) $("platform").value = where;
  readCaption();
  refresh();
  loadExamples();
}

start();
