// A click on a cell of a confusion matrix, or Enter on it, shows the images that it counts. The
// data "confusion" are
//
//   {"cap": 40, "runs": [{"classes": ["Trouser", ...],
//     "cells": {"6,2": [[image, confidence, id], ...], ...}}, ...]}
//
// the most confident first; `cap` is how many of the right ones a cell is given.
"use strict";

(() => {
    const data = fmnist.data("confusion");
    if (!data)
        return;

    const percent = (share) => `${(100 * share).toFixed(1)}\u00a0%`;

    function names(run, actual, predicted) {
        return actual === predicted ? `${run.classes[actual]}, recognised`
            : `${run.classes[actual]}, taken for ${run.classes[predicted]}`;
    }

    function gallery(run, cell, actual, predicted) {
        const made = fmnist.element("ul", {class: "gallery"});
        for (const [image, confidence, id] of cell)
            made.append(fmnist.tile({image, above: percent(confidence), below: `image ${id}`,
                tooltip: names(run, actual, predicted)}));
        return made;
    }

    function close(panel) {
        const button = panel.opener;
        panel.replaceChildren();
        panel.hidden = true;
        if (button) {
            button.setAttribute("aria-expanded", "false");
            button.focus();
        }
        panel.opener = null;
    }

    function open(button, panel) {
        const [number, actual, predicted] = button.dataset.cell.split(",").map(Number);
        const run = data.runs[number], cell = run.cells[`${actual},${predicted}`] || [];
        const count = Number(button.dataset.count), tiles = gallery(run, cell, actual, predicted);
        if (panel.opener)
            panel.opener.setAttribute("aria-expanded", "false");
        panel.opener = button;
        button.setAttribute("aria-expanded", "true");
        const heading = fmnist.element("h4", {tabindex: "-1"},
            `${names(run, actual, predicted)}: ${count} ${count === 1 ? "image" : "images"}`);
        const back = fmnist.element("button", {type: "button"}, "close");
        back.addEventListener("click", () => close(panel));
        panel.replaceChildren(heading,
            fmnist.element("p", {}, (cell.length < count ? `The ${cell.length} most confident of ` +
                "them; " : "The most confident first; ") + "under each how sure the model was."),
            back, tiles);
        panel.hidden = false;
        if (fmnist.look)
            fmnist.look(tiles);
        heading.focus({preventScroll: true});
        panel.scrollIntoView({block: "nearest"});
    }

    for (const table of document.querySelectorAll("table.confusion")) {
        const panel = fmnist.element("div", {class: "cell-images", hidden: true});
        table.closest(".table-box").after(panel);
        for (const button of table.querySelectorAll("button[data-cell]")) {
            button.setAttribute("aria-expanded", "false");
            button.addEventListener("click", () => {
                if (panel.opener === button)
                    close(panel);
                else
                    open(button, panel);
            });
        }
        panel.addEventListener("keydown", (event) => {
            if (event.key === "Escape" && !document.querySelector("dialog[open]"))
                close(panel);
        });
    }
})();
