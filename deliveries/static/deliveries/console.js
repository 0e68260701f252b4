"use strict";

// A form is sent once, however often its button is pressed.
document.addEventListener("submit", (event) => {
  const form = event.target;
  if (!form.matches("[data-once]")) return;
  setTimeout(() => form.querySelectorAll("[type=submit]").forEach((button) => { button.disabled = true; }));
});

// The theme's signs are words in a font of symbols. Beside a text nobody wants them read out.
document.addEventListener("DOMContentLoaded", () => {
  document.querySelectorAll(".material-symbols-outlined").forEach((sign) => {
    if (sign.parentElement.textContent.trim() !== sign.textContent.trim()) sign.ariaHidden = "true";
  });
});

// What changes by itself, which is [data-live] and has an id, is fetched again while somebody looks at the page.
document.addEventListener("DOMContentLoaded", () => {
  const USUAL = 5000, LONGEST = 60000, PATIENCE = 10000; // milliseconds
  const shown = new Map(); // by id: the HTML that the server gave for what is on the page
  let wait = USUAL, timer = 0, asking = false, answered = new Date();

  // Each answer has a token of its own in its forms, which is no change.
  const written = (area) => area.outerHTML.replaceAll(/(name="csrfmiddlewaretoken" value=)"[^"]*"/g, "$1");

  const areas = () => document.querySelectorAll("[data-live][id]");

  const touched = (field) =>
    field.type === "checkbox" || field.type === "radio"
      ? field.checked !== field.defaultChecked
      : "defaultValue" in field && field.value !== field.defaultValue;

  // Nothing is taken from under somebody's hands: focus, marked text, an open menu, a form that is being filled in.
  const inUse = (area) => {
    const selection = getSelection();
    return area.contains(document.activeElement)
      || (!selection.isCollapsed && selection.containsNode(area, true))
      || area.querySelector("[aria-expanded=true], dialog[open]") !== null
      || [...area.querySelectorAll("input, select, textarea")].some(touched);
  };

  // What was folded out stays so, and what was scrolled sideways too, as long as it is the same thing by its place.
  const keepPlace = (old, fresh) => {
    const both = (selector) => {
      const [before, after] = [old, fresh].map((area) => [...area.querySelectorAll(selector)]);
      return before.length === after.length ? before.map((element, i) => [element, after[i]]) : [];
    };
    const scrolled = both(".scrolls").map(([before, after]) => [after, before.scrollLeft]);
    both("details").forEach(([before, after]) => { after.open = before.open; });
    old.replaceWith(fresh);
    scrolled.forEach(([after, left]) => { after.scrollLeft = left; });
  };

  const swap = (page) => areas().forEach((area) => {
    const fresh = page.getElementById(area.id);
    if (!fresh || written(fresh) === shown.get(area.id) || inUse(area)) return;
    shown.set(area.id, written(fresh));
    keepPlace(area, document.importNode(fresh, true));
  });

  const tell = (words) => {
    document.getElementById("not-live")?.remove();
    if (!words) return;
    const line = Object.assign(document.createElement("p"), { id: "not-live", textContent: words });
    line.setAttribute("role", "status");
    document.body.append(line);
  };

  const look = async () => {
    const signal = AbortSignal.timeout(PATIENCE);
    const answer = await fetch(location.href, { cache: "no-store", credentials: "same-origin", signal });
    if (answer.redirected) return location.reload(); // the session is over: to the page to log in
    if (!answer.ok) throw new Error(answer.statusText);
    swap(new DOMParser().parseFromString(await answer.text(), "text/html"));
  };

  const refresh = async () => {
    if (asking) return;
    asking = true;
    try {
      await look();
      [wait, answered] = [USUAL, new Date()];
      tell("");
    } catch {
      wait = Math.min(wait * 2, LONGEST);
      tell(`Not live since ${answered.toISOString().slice(11, 16)} UTC: the server does not answer.`);
    }
    asking = false;
    plan(wait);
  };

  const plan = (milliseconds) => {
    clearTimeout(timer);
    if (document.visibilityState === "visible" && areas().length) timer = setTimeout(refresh, milliseconds);
  };

  document.addEventListener("visibilitychange", () => plan(0));
  plan(USUAL);
});
