// Second section of the page: a network of two inputs, whose border moves while it learns.

import { plane } from "./plane.js";
import { $ } from "./shared.js";
import { isBetween, isList, stored } from "./stored.js";

const isPoint = ([x, y, kind]) => isBetween(x, 0, 1) && isBetween(y, 0, 1) && (kind === 0 || kind === 1);
const before = stored("points", (points) => isList(points, isPoint), () => shown.points()) ?? undefined;
const shown = plane($("border"), before);
