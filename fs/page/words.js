// SPDX-License-Identifier: MIT
//
// Duty: elements, and what people read of numbers, moments and names. Text from the data reaches the page as
// text alone (textContent, attributes), never as markup.

const $ = (id) => document.getElementById(id);

const SVG = "http://www.w3.org/2000/svg";

function fill(element, attributes, children) {
    for (const [name, value] of Object.entries(attributes || {}))
        if (value !== null && value !== undefined && value !== false)
            element.setAttribute(name, value === true ? "" : value);
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
}
const make = (tag, attributes, ...children) => fill(document.createElement(tag), attributes, children);
const draw = (tag, attributes, ...children) => fill(document.createElementNS(SVG, tag), attributes, children);

// What would not be seen, or would turn the direction of a line, is written as its number.
const UNSEEN = /[\u0000-\u001f\u007f-\u009f\u00ad\u061c\u200b-\u200f\u2028-\u202e\u2060-\u206f\ufeff]/g;
const shown = (text) => String(text).replace(UNSEEN, (c) => "\\u" + c.charCodeAt(0).toString(16).padStart(4, "0"));

const GROUPED = new Intl.NumberFormat("en");
const count = (number) => GROUPED.format(number);
const counted = (number, one, many) => `${count(number)} ${number === 1 ? one : many || one + "s"}`;

function size(bytes) {
    const UNITS = ["B", "kB", "MB", "GB", "TB", "PB"];
    let unit = 0;
    for (; bytes >= 999.5 && unit < UNITS.length - 1; unit++)
        bytes /= 1000;
    return `${unit === 0 || bytes >= 99.95 ? Math.round(bytes) : bytes.toPrecision(3)}\u00a0${UNITS[unit]}`;
}

function span(nanoseconds) {
    const STEPS = [[1e3, 1, "ns"], [1e6, 1e3, "µs"], [1e9, 1e6, "ms"], [Infinity, 1e9, "s"]];
    const [, unit, word] = STEPS.find(([below]) => nanoseconds < below);
    const value = nanoseconds / unit;
    return `${value >= 99.95 || unit === 1 ? count(Math.round(value)) : value.toPrecision(3)}\u00a0${word}`;
}
