// SPDX-License-Identifier: MIT
//
// Duty: the events as they come, column by column, with words numbered in dictionaries: an event is a number, and a
// list of events an array of numbers. What is drawn is bounded whatever their number: the treemap by TILES and
// GRAINS, the timeline by COLUMNS and SERIES, the stack by SHEETS, a table by its page.

const TILES = 48, GRAINS = 24, NAMES = 6, COLUMNS = 120, SERIES = 8, SHEETS = 14;
const data = JSON.parse($("data").textContent);
const ledger = data.Ledger, events = ledger.Events;

// Moments are nanoseconds after the first event; a Date has milliseconds, so the rest is added as digits.
const [, BEFORE, FRACTION] = /^(.*?)(?:\.(\d+))?Z$/.exec(ledger.From || "1970-01-01T00:00:00Z");
const FROM = Date.parse(BEFORE + "Z"), FROM_REST = Number((FRACTION || "").padEnd(9, "0"));
function moment(offset, digits) {
    const whole = Math.floor((FROM_REST + offset) / 1e9), rest = FROM_REST + offset - whole * 1e9;
    const text = new Date(FROM + whole * 1000).toISOString();
    const fraction = digits ? "." + String(Math.floor(rest)).padStart(9, "0").slice(0, digits) : "";
    return {day: text.slice(0, 10), clock: text.slice(11, 19) + fraction};
}
// On which day is said where the ledger has several.
const LAST = events.Time.reduce((most, time) => Math.max(most, time), 0);
const SEVERAL_DAYS = moment(0, 0).day !== moment(LAST, 0).day;
function stamp(offset, digits) {
    const {day, clock} = moment(offset, digits);
    return SEVERAL_DAYS ? `${day} ${clock}` : clock;
}
const said = (time) => time ? time.replace("T", " ").replace(/\.\d+Z$|Z$/, " UTC") : null;

const COPYUP = ledger.Kinds.indexOf("copyup");
const every = Array.from({length: ledger.Count}, (_, i) => i);
const copyups = every.filter((i) => events.Event[i] === COPYUP);
const sum = (list, column) => list.reduce((total, i) => total + column[i], 0);

const paths = new Array(ledger.Count);
function path(i) {
    const directory = ledger.Directories[events.Directory[i]], name = ledger.Names[events.Name[i]];
    return paths[i] ??= directory === "" ? "(a file that had lost its name)"
        : directory === "/" ? "/" + name : name === "" ? directory : directory + "/" + name;
}
const caller = (i) => ledger.Processes[events.Process[i]].Caller;
// Processes are many where commands are few: a build has thousands of sed. The caller without its number:
const commands = ledger.Processes.map((process) => process.Command || process.Caller);
const command = (i) => commands[events.Process[i]];
const cause = (i) => ledger.Causes[events.Cause[i]];
const layerWord = (layer) => layer ? `layer ${layer}` : "none";

// The first SERIES - 1 of what copies up most, and the others: {labels, counts, of: event -> number of series}.
function seriesBy(label) {
    const counts = new Map();
    for (const i of copyups)
        counts.set(label(i), (counts.get(label(i)) || 0) + 1);
    const ranked = [...counts].sort((a, b) => b[1] - a[1] || (a[0] < b[0] ? -1 : 1));
    const named = ranked.length > SERIES ? ranked.slice(0, SERIES - 1) : ranked;
    const rest = ranked.slice(named.length);
    const number = new Map(named.map(([word], at) => [word, at]));
    const labels = named.map(([word]) => word), sums = named.map(([, many]) => many);
    if (rest.length) {
        labels.push(`${rest.length} others`);
        sums.push(rest.reduce((total, [, many]) => total + many, 0));
    }
    return {labels, counts: sums, of: (i) => number.get(label(i)) ?? SERIES - 1};
}
const SERIES_BY = {process: seriesBy(command), cause: seriesBy(cause)};
const choice = (name) => document.querySelector(`input[name="${name}"]:checked`).value;
const series = () => SERIES_BY[choice("colour")];
