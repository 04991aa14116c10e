// A person labels pictures, one after another, by keyboard or pointer. The data "review" are
//
//   {"key": "3f...", "classes": ["Trouser", ...],
//    "rows": [[name, image, suggested class, probability, second class, probability], ...]}
//
// in the order in which they are shown. Answers are kept by the browser under `key` where it keeps
// anything for a page from disk, and saved as reviewed.csv (name, label), which
// 'fmnist label --reviewed' reads.
"use strict";

(() => {
    const data = fmnist.data("review"), place = document.getElementById("review-box");
    if (!data || !place || data.rows.length === 0)
        return;
    const element = fmnist.element, rows = data.rows, classes = data.classes;
    const KEYS = "1234567890abcdefghijklmnopqrtvwxyz"; // s saves, u takes back
    const AROUND = 5; // pictures shown to either side of the present one
    const store = `fmnist-review-${data.key}`;

    let answers = new Array(rows.length).fill(-1); // classes; -1: none
    let count = 0;    // of answers
    let at = 0;       // the row that is shown
    let saved = true; // all answers are in a file
    let history = []; // [row, answer before]

    // ---- What the browser keeps; pages from disk may not be allowed to

    function keep() {
        try {
            window.localStorage.setItem(store, JSON.stringify(answers));
        } catch {
            // Saving to a file is left.
        }
    }

    function restore() {
        try {
            const kept = JSON.parse(window.localStorage.getItem(store) || "null");
            const valid = (answer) => Number.isInteger(answer) && answer >= -1 &&
                answer < classes.length;
            if (Array.isArray(kept) && kept.length === rows.length && kept.every(valid))
                answers = kept;
        } catch {
            // As if it were the first visit.
        }
        count = answers.filter((answer) => answer >= 0).length;
        saved = count === 0;
    }

    // ---- The file

    function field(text) {
        if (/^[=+\-@\t\r]/.test(text)) // a spreadsheet would take it for a formula
            return `"'${text.replace(/"/g, '""')}"`;
        return /[",\r\n]/.test(text) ? `"${text.replace(/"/g, '""')}"` : text;
    }

    function csv() {
        const lines = ["name,label"];
        rows.forEach((row, i) => {
            if (answers[i] >= 0)
                lines.push(`${field(row[0])},${field(classes[answers[i]])}`);
        });
        return `${lines.join("\r\n")}\r\n`;
    }

    function save() {
        const address = URL.createObjectURL(new Blob([csv()], {type: "text/csv"}));
        const link = element("a", {href: address, download: "reviewed.csv"});
        document.body.append(link);
        link.click();
        link.remove();
        window.setTimeout(() => URL.revokeObjectURL(address), 10000);
        saved = true;
        tell(`reviewed.csv saved: ${count} of ${rows.length} answers`);
        show();
    }

    // ---- Parts of the page

    const bar = element("progress", {max: rows.length, value: 0, "aria-label": "answered"});
    const done = element("span", {});
    const note = element("p", {class: "review-note"});
    const strip = element("div", {class: "review-strip", "aria-hidden": "true"});
    const figure = element("div", {class: "review-picture"});
    const title = element("p", {class: "review-name"});
    const hint = element("p", {});
    const card = element("div", {class: "review-card", tabindex: "-1"}, figure,
        element("div", {}, title, hint));
    const choices = element("div", {class: "tools", role: "group", "aria-label": "classes"});

    const button = (text, key, act) => {
        const made = element("button", {type: "button", "aria-keyshortcuts": key || null}, text);
        made.addEventListener("click", () => {
            act();
            card.focus({preventScroll: true}); // so that the next Enter takes the suggestion
        });
        return made;
    };
    const buttons = classes.map((name, k) => button(
        KEYS[k] ? `${KEYS[k]} ${name}` : name, KEYS[k], () => answer(k)));
    const accept = button("Enter: take the suggestion", "Enter", () => answer(rows[at][2]));
    const back = button("← back", "ArrowLeft", () => move(-1));
    const next = button("→ leave it for later", "ArrowRight", () => move(1));
    const undo = button("u: take back", "u", takeBack);
    const open = button("next without an answer", null, () => go(unanswered(at + 1)));
    const saving = button("s: save reviewed.csv", "s", save);

    function tell(text) {
        note.textContent = text;
        fmnist.say(text);
    }

    const percent = (share) => `${(100 * share).toFixed(1)} %`;

    function enlarged(index, label, side) {
        const image = fmnist.image(index, label);
        image.style.setProperty("--side", side);
        return image;
    }

    // The pictures around the present one: no more than these are ever part of the page.
    function showStrip() {
        const from = Math.max(0, Math.min(at - AROUND, rows.length - 2 * AROUND - 1));
        const tiles = rows.slice(from, from + 2 * AROUND + 1).map((row, i) => {
            const tile = enlarged(row[1], row[0], "42px");
            tile.classList.toggle("now", from + i === at);
            tile.classList.toggle("answered", answers[from + i] >= 0);
            tile.addEventListener("click", () => go(from + i));
            return tile;
        });
        strip.replaceChildren(...tiles);
    }

    function show() {
        const [name, image, first, p, second, q] = rows[at], given = answers[at];
        figure.replaceChildren(enlarged(image, name, "min(280px, 45vw, 45vh)"));
        title.textContent = `${at + 1} of ${rows.length}: ${name}`;
        hint.textContent = `Suggestion: ${classes[first]} (${percent(p)}), then ${classes[second]} ` +
            `(${percent(q)}).${given >= 0 ? ` Your answer: ${classes[given]}.` : ""}`;
        buttons.forEach((one, k) => {
            one.setAttribute("aria-pressed", k === given ? "true" : "false");
            one.classList.toggle("suggested", k === first);
        });
        bar.value = count;
        done.textContent = `${count} of ${rows.length} answered${saved ? "" : ", not saved"}`;
        back.disabled = at === 0;
        next.disabled = at === rows.length - 1;
        undo.disabled = history.length === 0;
        open.disabled = count === rows.length;
        showStrip();
    }

    // ---- What a person does

    function go(row) {
        at = row;
        show();
        fmnist.say(`${title.textContent}. ${hint.textContent}`);
    }

    function move(by) {
        const to = at + by;
        if (to >= 0 && to < rows.length)
            go(to);
    }

    // The first row without an answer from this one on, from the top again behind the last.
    function unanswered(from) {
        for (let i = 0; i < rows.length; i++)
            if (answers[(from + i) % rows.length] < 0)
                return (from + i) % rows.length;
        return at;
    }

    function set(row, value) {
        count += (value >= 0) - (answers[row] >= 0);
        answers[row] = value;
        saved = false;
        keep();
    }

    function answer(k) {
        history.push([at, answers[at]]);
        set(at, k);
        note.textContent = "";
        go(unanswered(at + 1));
        if (count === rows.length)
            tell("All pictures have an answer: save reviewed.csv.");
    }

    function takeBack() {
        const last = history.pop();
        if (!last)
            return;
        set(last[0], last[1]);
        note.textContent = "";
        go(last[0]);
    }

    document.addEventListener("keydown", (event) => {
        const key = event.key.length === 1 ? event.key.toLowerCase() : event.key;
        if ((event.ctrlKey || event.metaKey) && !event.altKey && key === "z") {
            takeBack();
            event.preventDefault();
            return;
        }
        if (event.ctrlKey || event.altKey || event.metaKey || event.target.closest("a, input"))
            return;
        const onButton = event.target.closest("button");
        const act = {Enter: () => answer(rows[at][2]), ArrowLeft: () => move(-1),
            ArrowRight: () => move(1), u: takeBack, s: save}[key];
        const k = key.length === 1 ? KEYS.indexOf(key) : -1;
        if (onButton && (key === "Enter" || key === " "))
            return; // the button's own
        if (event.repeat && !key.startsWith("Arrow"))
            event.preventDefault(); // a key held down is one answer
        else if (act)
            act();
        else if (k >= 0 && k < classes.length)
            answer(k);
        else
            return;
        event.preventDefault();
    });

    window.addEventListener("beforeunload", (event) => {
        if (!saved)
            event.preventDefault();
    });

    choices.append(...buttons);
    place.append(
        element("div", {class: "tools"}, bar, done, saving),
        note, strip, card, choices,
        element("div", {class: "tools"}, accept, back, next, undo, open));
    restore();
    at = unanswered(0);
    show();
    if (count > 0)
        tell(`${count} answers of an earlier visit are back.`);
    card.focus({preventScroll: true});
})();
