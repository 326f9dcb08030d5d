"use strict";
(() => {
  const rows = [...document.querySelectorAll("#rows > .row")];
  const input = document.getElementById("filter");
  const shown = document.getElementById("shown");
  const controls = document.querySelector(".controls");
  const chips = [...document.querySelectorAll(".chips button")];
  const later = document.getElementById("later");
  const texts = rows.map((row) => row.dataset.text);
  let details = null;

  // The details of later rows are text until somebody opens them.
  function fill(index) {
    const first = later ? Number(later.dataset.first) : Infinity;
    const body = rows[index].lastElementChild;
    if (index < first || body.firstChild) return;
    details = details || JSON.parse(later.textContent);
    body.innerHTML = details[index - first];
  }

  function filter() {
    const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
    const pressed = chips.filter((chip) => chip.getAttribute("aria-pressed") === "true");
    const verdicts = new Set(pressed.map((chip) => chip.dataset.verdict).filter(Boolean));
    const failed = pressed.some((chip) => "failed" in chip.dataset);
    let count = 0;
    rows.forEach((row, index) => {
      const fits =
        (!verdicts.size || verdicts.has(row.dataset.verdict)) &&
        (!failed || row.classList.contains("failed")) &&
        words.every((word) => texts[index].includes(word));
      row.hidden = !fits;
      count += fits;
    });
    shown.value = `${count} of ${rows.length}`;
  }

  function visible() {
    return rows.filter((row) => !row.hidden);
  }

  function move(step) {
    const list = visible();
    if (!list.length) return;
    const at = list.indexOf(document.activeElement.closest(".row"));
    const next = at < 0 ? (step > 0 ? 0 : list.length - 1) : at + step;
    const row = list[Math.min(Math.max(next, 0), list.length - 1)];
    row.firstElementChild.focus();
    row.scrollIntoView({ block: "nearest" });
  }

  function openAll() {
    const list = visible();
    const open = list.some((row) => !row.open);
    list.forEach((row) => {
      if (open) fill(rows.indexOf(row));
      row.open = open;
    });
  }

  function clear() {
    input.value = "";
    chips.forEach((chip) => chip.setAttribute("aria-pressed", "false"));
    filter();
  }

  const keys = {
    "/": () => input.focus(),
    j: () => move(1),
    k: () => move(-1),
    x: openAll,
    Escape: clear,
  };

  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const typing = event.target === input;
    if (typing && event.key === "ArrowDown") {
      event.preventDefault();
      move(1);
      return;
    }
    if (typing && event.key !== "Escape") return;
    const action = Object.hasOwn(keys, event.key) ? keys[event.key] : null;
    if (!action) return;
    event.preventDefault();
    action();
  });

  rows.forEach((row, index) => row.addEventListener("toggle", () => row.open && fill(index)));
  chips.forEach((chip) =>
    chip.addEventListener("click", () => {
      const pressed = chip.getAttribute("aria-pressed") === "true";
      chip.setAttribute("aria-pressed", String(!pressed));
      filter();
    }),
  );
  input.addEventListener("input", filter);

  // A link to a line of the contract opens the file that it is in.
  function reveal() {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    const file = target && target.closest("details");
    if (file && !file.open) {
      file.open = true;
      target.scrollIntoView({ block: "center" });
    }
  }
  addEventListener("hashchange", reveal);
  reveal();

  // On paper a closed row shows nothing: what failed is opened, and put back afterwards.
  let opened = [];
  addEventListener("beforeprint", () => {
    const closed = [...document.querySelectorAll(".row.failed, .failure, .file")];
    opened = closed.filter((it) => !it.open && !it.hidden).slice(0, 200);
    opened.forEach((it) => {
      if (it.classList.contains("row")) fill(rows.indexOf(it));
      it.open = true;
    });
  });
  addEventListener("afterprint", () => opened.forEach((it) => (it.open = false)));

  controls.hidden = !rows.length;
  document.getElementById("keys").hidden = !rows.length;
})();
