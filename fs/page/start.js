// SPDX-License-Identifier: MIT
//
// Duty: begin, and follow the width of the window.

// The pictures are as wide as their place; text in them keeps its size.
function followWidth() {
    let width = $("map").clientWidth, waiting = false;
    new ResizeObserver(() => {
        if (waiting || $("map").clientWidth === width)
            return;
        waiting = true;
        requestAnimationFrame(() => {
            waiting = false;
            width = $("map").clientWidth;
            const held = document.activeElement?.closest?.("[data-at]");
            drawMap();
            if (held)
                focusTile(map.at);
            if (copyups.length)
                drawLine();
        });
    }).observe($("map"));
}

facts();
totals();
stack();
startMap();
startLine();
drawMap();
startTables();
startVolumes();
$("footer").textContent =
    `Made by plyfs ${data.Version}. Times are UTC, sizes in decimal units; layer 1 is the lowest.`;
for (const input of document.querySelectorAll("input[type=radio]")) {
    input.addEventListener("change", () => {
        map.at = 0;
        drawMap();
        if (copyups.length)
            drawLine();
    });
}
followWidth();
document.documentElement.dataset.ready = "yes";
