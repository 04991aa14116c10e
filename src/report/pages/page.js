// What every page does: tables sort, the menu says where the reader is, boxes that scroll can be
// reached by keyboard. And what the other scripts build with:
//
//   fmnist.data(id)                    what fm_page_data() put in, parsed; null: nothing
//   fmnist.image(index)                an image of the atlas, a <span>
//   fmnist.tile({image, above, below, tooltip, wrong})   a tile of a gallery, an <li>
//   fmnist.element(tag, attributes, ...children)         children are texts or elements
//   fmnist.say(text)                   told to those who do not see the page
//
// Texts become text nodes and attributes, never markup.
"use strict";

const fmnist = (() => {
    const COLUMNS = 128; // of the atlas: report/pages/atlas.h

    function element(tag, attributes, ...children) {
        const made = document.createElement(tag);
        for (const [name, value] of Object.entries(attributes || {}))
            if (value !== null && value !== undefined && value !== false)
                made.setAttribute(name, value === true ? "" : value);
        made.append(...children.filter((child) => child !== null && child !== undefined));
        return made;
    }

    function data(id) {
        const holder = document.getElementById(id);
        return holder ? JSON.parse(holder.textContent) : null;
    }

    function image(index, label) {
        const made = element("span", {class: "image", role: "img", "aria-label": label || "image"});
        made.style.setProperty("--x", index % COLUMNS);
        made.style.setProperty("--y", Math.floor(index / COLUMNS));
        return made;
    }

    function tile({image: index, above, below, tooltip, wrong}) {
        return element("li", {class: wrong ? "tile wrong" : "tile", title: tooltip},
            image(index, tooltip),
            above ? element("span", {class: "above"},
                wrong ? element("span", {class: "hidden"}, "wrong: ") : null, above) : null,
            below ? element("span", {class: "below"}, below) : null);
    }

    let voice = null;
    function say(text) {
        if (!voice) {
            voice = element("div", {class: "hidden", role: "status"});
            document.body.append(voice);
        }
        voice.textContent = text;
    }

    return {element, data, image, tile, say};
})();

// ---- Tables sort by a click on a heading, or Enter on it

(() => {
    const collator = new Intl.Collator(undefined, {numeric: true, sensitivity: "base"});

    // Numbers by value, texts by alphabet, what is not there last in either direction.
    function comparison(column, direction) {
        const of = (row) => {
            const cell = row.cells[column];
            return cell && cell.dataset.value !== undefined ? Number(cell.dataset.value)
                : cell ? cell.textContent.trim() : "";
        };
        const absent = (value) => value === "" || value === "-" || Number.isNaN(value);
        return (a, b) => {
            const x = of(a), y = of(b);
            if (absent(x) || absent(y))
                return absent(x) - absent(y);
            const numbers = typeof x === "number" && typeof y === "number";
            return direction * (numbers ? x - y : collator.compare(x, y));
        };
    }

    function sort(table, heading) {
        const ascending = heading.getAttribute("aria-sort") !== "ascending";
        const rows = [...table.tBodies[0].rows];
        rows.sort(comparison(heading.cellIndex, ascending ? 1 : -1));
        table.tBodies[0].append(...rows);
        for (const other of table.tHead.rows[0].cells)
            other.removeAttribute("aria-sort");
        heading.setAttribute("aria-sort", ascending ? "ascending" : "descending");
        fmnist.say(`sorted by ${heading.textContent}, ${ascending ? "ascending" : "descending"}`);
    }

    for (const table of document.querySelectorAll("table.sorts")) {
        if (table.tBodies.length === 0 || table.tBodies[0].rows.length < 2)
            continue;
        for (const heading of table.tHead.rows[0].cells) {
            const button = fmnist.element("button", {type: "button", class: "sort"},
                heading.textContent);
            heading.replaceChildren(button);
            button.addEventListener("click", () => sort(table, heading));
        }
    }
})();

// ---- Boxes that scroll can be focused, so that the arrow keys scroll them

(() => {
    function update() {
        for (const box of document.querySelectorAll(".table-box"))
            if (box.scrollWidth > box.clientWidth)
                box.setAttribute("tabindex", "0");
            else
                box.removeAttribute("tabindex");
    }
    window.addEventListener("resize", update);
    update();
})();

// ---- The menu marks the section that is being read

(() => {
    const links = [...document.querySelectorAll("nav a")];
    const headings = links.map((link) => document.getElementById(link.hash.slice(1)));
    let waiting = false;
    function mark() {
        waiting = false;
        let current = -1;
        headings.forEach((heading, i) => {
            if (heading.getBoundingClientRect().top < window.innerHeight / 3)
                current = i;
        });
        if (window.scrollY + window.innerHeight >= document.documentElement.scrollHeight - 2)
            current = links.length - 1;
        links.forEach((link, i) => {
            if (i !== current) {
                link.removeAttribute("aria-current");
            } else if (!link.hasAttribute("aria-current")) {
                link.setAttribute("aria-current", "true");
                const bar = link.closest("ul");
                bar.scrollLeft = link.offsetLeft - (bar.clientWidth - link.offsetWidth) / 2;
            }
        });
    }
    if (links.length > 0) {
        window.addEventListener("scroll", () => {
            if (!waiting)
                window.requestAnimationFrame(mark);
            waiting = true;
        }, {passive: true});
        mark();
    }
})();
