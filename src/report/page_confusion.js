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

    const percent = (share) => `${(100 * share).toFixed(1)} %`;

    function title(run, actual, predicted, count) {
        const names = run.classes, images = count === 1 ? "1 image" : `${count} images`;
        return actual === predicted ? `${names[actual]}, recognised: ${images}`
            : `${names[actual]}, taken for ${names[predicted]}: ${images}`;
    }

    function gallery(run, cell, actual, predicted) {
        const made = fmnist.element("ul", {class: "gallery"});
        for (const [image, confidence, id] of cell)
            made.append(fmnist.tile({image, wrong: actual !== predicted,
                above: run.classes[predicted], below: percent(confidence),
                tooltip: `test image ${id}: ${run.classes[actual]}`}));
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
        const heading = fmnist.element("h4", {tabindex: "-1"}, title(run, actual, predicted, count));
        const back = fmnist.element("button", {type: "button"}, "close");
        back.addEventListener("click", () => close(panel));
        panel.replaceChildren(heading,
            fmnist.element("p", {}, (cell.length < count ? `The ${cell.length} most confident of ` +
                "them; " : "The most confident first; ") +
                "under each what the model took it for, and how sure it was."),
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
