// Images of galleries enlarge by a click or Enter; within a gallery the arrow keys move. A gallery
// of many can be filtered by the texts of its tiles.
"use strict";

(() => {
    const MANY = 12; // tiles, above which a gallery is given a filter

    // ---- One tile after another in a dialog

    const box = fmnist.element("div", {});
    const back = fmnist.element("button", {type: "button"}, "← previous");
    const next = fmnist.element("button", {type: "button"}, "next →");
    const close = fmnist.element("button", {type: "button"}, "close");
    const dialog = fmnist.element("dialog", {"aria-label": "enlarged image"}, box,
        fmnist.element("div", {class: "tools"}, back, next, close));
    document.body.append(dialog);
    let shown = null;

    const visible = (gallery) => [...gallery.querySelectorAll(".tile:not([hidden])")];

    function show(tile) {
        const copy = tile.cloneNode(true), all = visible(tile.closest(".gallery"));
        const at = all.indexOf(tile);
        const made = fmnist.element("div", {class: copy.className}, ...copy.childNodes);
        made.querySelector(".image").removeAttribute("tabindex");
        made.querySelector(".image").setAttribute("role", "img");
        if (tile.title || tile.dataset.title)
            made.append(fmnist.element("span", {class: "below"}, tile.title || tile.dataset.title));
        box.replaceChildren(made, fmnist.element("p", {class: "hidden", role: "status"},
            `${at + 1} of ${all.length}: ${made.innerText}`));
        back.disabled = at <= 0;
        next.disabled = at === all.length - 1;
        shown = tile;
        if (!dialog.open)
            dialog.showModal();
    }

    function step(by) {
        const all = visible(shown.closest(".gallery")), to = all[all.indexOf(shown) + by];
        if (to)
            show(to);
    }

    back.addEventListener("click", () => step(-1));
    next.addEventListener("click", () => step(1));
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("click", (event) => {
        if (event.target === dialog) // the backdrop
            dialog.close();
    });
    dialog.addEventListener("keydown", (event) => {
        if (event.key === "ArrowLeft" || event.key === "ArrowRight") {
            step(event.key === "ArrowLeft" ? -1 : 1);
            event.preventDefault();
        }
    });
    dialog.addEventListener("close", () => {
        if (shown)
            focus(shown);
    });

    // ---- One stop of the tabulator a gallery; arrows within it

    const imageOf = (tile) => tile.querySelector(".image");

    function focus(tile) {
        for (const other of tile.closest(".gallery").querySelectorAll('.image[tabindex="0"]'))
            other.setAttribute("tabindex", "-1");
        imageOf(tile).setAttribute("tabindex", "0");
        imageOf(tile).focus();
    }

    function prepare(gallery) {
        gallery.dataset.looks = "true";
        [...gallery.children].forEach((tile, i) => {
            const image = imageOf(tile);
            if (!image)
                return;
            image.setAttribute("role", "button");
            image.setAttribute("tabindex", i === 0 ? "0" : "-1");
            image.setAttribute("aria-label", `enlarge: ${image.getAttribute("aria-label")}`);
        });
    }

    function columns(tiles) {
        const top = tiles[0].offsetTop;
        const count = tiles.findIndex((tile) => tile.offsetTop !== top);
        return count < 0 ? tiles.length : count;
    }

    function target(tile, key) {
        const tiles = visible(tile.closest(".gallery")), at = tiles.indexOf(tile);
        switch (key) {
        case "ArrowLeft": return tiles[at - 1];
        case "ArrowRight": return tiles[at + 1];
        case "ArrowUp": return tiles[at - columns(tiles)];
        case "ArrowDown": return tiles[at + columns(tiles)];
        case "Home": return tiles[0];
        case "End": return tiles[tiles.length - 1];
        default: return null;
        }
    }

    const tileOf = (event) => {
        const image = event.target.closest(".image");
        return image && image.closest(".gallery[data-looks] > .tile");
    };
    document.addEventListener("click", (event) => {
        const tile = tileOf(event);
        if (tile)
            show(tile);
    });
    document.addEventListener("keydown", (event) => {
        const tile = tileOf(event);
        if (!tile || event.ctrlKey || event.altKey || event.metaKey)
            return;
        if (event.key === "Enter" || event.key === " ")
            show(tile);
        else if (/^(Arrow|Home|End)/.test(event.key)) {
            const to = target(tile, event.key);
            if (to)
                focus(to);
        } else
            return;
        event.preventDefault();
    });

    // ---- The filter

    function addFilter(gallery) {
        const text = fmnist.element("input", {type: "search", size: "16"});
        const wrong = fmnist.element("input", {type: "checkbox"});
        const count = fmnist.element("span", {role: "status"});
        const some = gallery.querySelector(".wrong") && gallery.querySelector(".tile:not(.wrong)");
        const update = () => {
            const wanted = text.value.trim().toLowerCase();
            let left = 0;
            for (const tile of gallery.children) {
                const words = `${tile.textContent} ${tile.title}`.toLowerCase();
                tile.hidden = !words.includes(wanted) ||
                    (wrong.checked && !tile.classList.contains("wrong"));
                left += !tile.hidden;
            }
            count.textContent = left < gallery.children.length
                ? `${left} of ${gallery.children.length}` : "";
            const first = visible(gallery)[0];
            if (first)
                for (const tile of gallery.children)
                    if (imageOf(tile))
                        imageOf(tile).setAttribute("tabindex", tile === first ? "0" : "-1");
        };
        text.addEventListener("input", update);
        wrong.addEventListener("change", update);
        gallery.before(fmnist.element("div", {class: "tools"},
            fmnist.element("label", {}, "show only", text),
            some ? fmnist.element("label", {}, wrong, "mistakes only") : null, count));
    }

    for (const gallery of document.querySelectorAll(".gallery")) {
        prepare(gallery);
        if (gallery.children.length > MANY)
            addFilter(gallery);
    }
    // Galleries that other scripts make later call this.
    fmnist.look = prepare;
})();
