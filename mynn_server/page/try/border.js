// Second section of the page: a network of two inputs, whose border moves while it learns.

import { plane } from "./plane.js";
import { $ } from "./shared.js";
import { stored } from "./stored.js";

const shown = plane($("border"), stored("points", () => shown.points()));
