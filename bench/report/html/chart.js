"use strict";
/* Draws every figure.chart of the page from the JSON in #data, as SVG, and makes it answer to pointer, finger and keys.

   chart  {xs: [{key, label, log, ticks?}], ys: [{key, label}], curves: [{name, colour, dark, marker, dash, filled}],
           panels: [{title, label, front: [curve], points: [{c: curve, x: {key: number}, y: {key: estimate}, about, hollow, bare}]}]}
   estimate  {m: mean, l: low, h: high, n, e: effective n, u: unscored}; a number that is unknown is null. */
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const PAGE = JSON.parse(document.getElementById("data").textContent);
  const DASHES = { "--": "7 4", ":": "2 4", "-.": "8 4 2 4" };
  const ROOM = { left: 54, right: 14, top: 12, bottom: 42 }; // around a panel's plot, in pixels
  const REACH = 36; // how far from a point the pointer may be, in pixels

  // Small helpers

  /** An element with attributes and children; text is always set as text, never as markup. */
  function make(name, attributes = {}, ...children) {
    const svg = ["svg", "g", "path", "line", "text", "circle"].includes(name);
    const element = svg ? document.createElementNS(SVG, name) : document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (value !== null && value !== undefined && value !== false) element.setAttribute(key, value === true ? "" : value);
    }
    element.append(...children);
    return element;
  }

  const known = (value) => typeof value === "number" && Number.isFinite(value);

  /** A number for people: four digits that mean something, and k, M, G, T, P, E above ten thousand. */
  function number(value) {
    if (!known(value)) return "–";
    const size = Math.abs(value);
    if (size >= 1e4) {
      const step = Math.min(Math.floor(Math.log10(size) / 3), 6);
      return `${Number((value / 10 ** (3 * step)).toPrecision(3))}${["", " k", " M", " G", " T", " P", " E"][step]}`;
    }
    if (size >= 1000) return value.toLocaleString("en", { maximumFractionDigits: 0 });
    return size !== 0 && size < 1e-3 ? value.toExponential(2) : String(Number(value.toPrecision(4)));
  }

  const colour = (curve) => `--c: light-dark(${curve.colour}, ${curve.dark})`;

  // Scales and ticks

  /** Maps [low, high] to [from, to]; by logarithms if asked. */
  function scale(low, high, from, to, log) {
    const f = log ? Math.log : (value) => value;
    const span = f(high) - f(low) || 1;
    return (value) => from + ((f(value) - f(low)) / span) * (to - from);
  }

  function linearTicks(low, high, about) {
    const raw = (high - low) / about;
    const power = 10 ** Math.floor(Math.log10(raw));
    const step = power * [1, 2, 5, 10].find((factor) => factor * power >= raw);
    const ticks = [];
    for (let k = Math.ceil(low / step - 1e-9); k * step <= high + step * 1e-9; k += 1) ticks.push(k * step);
    return ticks;
  }

  /** 1, 2, 5, 10, ... while they fit; else powers of ten. */
  function logTicks(low, high) {
    const decades = Math.log10(high / low);
    const factors = decades < 1.7 ? [1, 2, 5] : decades < 3.2 ? [1, 3] : [1];
    const every = Math.max(1, Math.ceil(decades / 5));
    const ticks = [];
    for (let power = Math.floor(Math.log10(low)); power <= Math.ceil(Math.log10(high)); power += every) {
      for (const factor of factors) {
        const tick = factor * 10 ** power;
        if (tick >= low * 0.999 && tick <= high * 1.001) ticks.push(tick);
      }
    }
    return ticks.length > 2 ? ticks : linearTicks(low, high, 5).filter((tick) => tick > 0);
  }

  // The tooltip: one for the page

  const tooltip = make("div", { class: "tooltip", role: "tooltip", id: "tooltip", hidden: true });
  document.body.append(tooltip);

  /** What is known of a point, as [name, value] pairs. */
  function facts(chart, point, key) {
    const y = point.y[key];
    const interval = known(y.l) ? ` [${number(y.l)}, ${number(y.h)}]` : "";
    const rows = [["mean", number(y.m) + interval]];
    if (known(y.n)) rows.push(["n", number(y.n) + (known(y.e) ? ` (effective ${number(y.e)})` : "")]);
    if (y.u) rows.push(["unscored", number(y.u)]);
    for (const [name, value] of point.about || []) rows.push([name, value]);
    for (const axis of chart.xs) {
      if (known(point.x[axis.key])) rows.push([axis.short || axis.label, axis.ticks?.[point.x[axis.key]] ?? number(point.x[axis.key])]);
    }
    return rows;
  }

  function showTooltip(chart, curve, rows, box) {
    const list = make("dl");
    for (const [name, value] of rows) list.append(make("dt", {}, name), make("dd", {}, value));
    tooltip.replaceChildren(make("b", {}, curve.name), list);
    tooltip.setAttribute("style", colour(curve));
    tooltip.hidden = false;
    const size = tooltip.getBoundingClientRect();
    const left = Math.min(Math.max(8, box.left + box.width / 2 - size.width / 2), document.documentElement.clientWidth - size.width - 8);
    const above = box.top - size.height - 12;
    tooltip.style.left = `${left}px`;
    tooltip.style.top = `${above > 4 ? above : box.bottom + 12}px`;
  }

  // A chart: its controls, panels and legend

  class Chart {
    constructor(host, data) {
      this.host = host;
      this.data = data;
      this.x = data.xs[0];
      this.y = data.ys[0];
      this.log = data.xs[0].log;
      this.hidden = new Set();
      this.panels = data.panels.map((panel) => new Panel(this, panel));
      host.append(this.controls(), make("div", { class: "panels" }, ...this.panels.map((panel) => panel.box)), this.legend());
      new ResizeObserver(() => this.draw()).observe(host);
    }

    controls() {
      const bar = make("div", { class: "controls" });
      const choose = (name, title, options, pick) => {
        if (options.length < 2) return;
        const select = make("select", { name });
        for (const option of options) select.append(make("option", { value: option.key }, option.label));
        select.addEventListener("change", () => pick(options.find((option) => option.key === select.value)));
        bar.append(make("label", {}, title, select));
      };
      choose("y", "scored on", this.data.ys, (option) => this.change({ y: option }));
      choose("x", "against", this.data.xs, (option) => this.change({ x: option }));
      if (this.data.xs.some((axis) => axis.log)) {
        const box = make("input", { type: "checkbox", name: "log", checked: this.log });
        box.addEventListener("change", () => this.change({ log: box.checked }));
        bar.append(make("label", {}, box, "logarithmic"));
      }
      return bar;
    }

    change(what) {
      Object.assign(this, what);
      this.draw();
    }

    legend() {
      const legend = make("div", { class: "legend", role: "group", "aria-label": "Curves; press to hide or show" });
      this.data.curves.forEach((curve, index) => {
        const dot = make("path", { class: curve.filled ? "dot" : "dot hollow", d: PAGE.markers[curve.marker], transform: "translate(15 8)" });
        const line = make("path", { class: "line", d: "M0 8H30", "stroke-dasharray": DASHES[curve.dash] });
        const button = make("button", { type: "button", "aria-pressed": "true", style: colour(curve) },
          make("svg", { viewBox: "0 0 30 16", "aria-hidden": "true" }, line, dot), curve.name);
        button.addEventListener("click", () => {
          if (!this.hidden.delete(index)) this.hidden.add(index);
          button.setAttribute("aria-pressed", String(!this.hidden.has(index)));
          this.draw();
        });
        const emphasise = (on) => this.panels.forEach((panel) => panel.emphasise(on && !this.hidden.has(index) ? index : null));
        button.addEventListener("pointerenter", () => emphasise(true));
        button.addEventListener("pointerleave", () => emphasise(false));
        legend.append(button);
      });
      return legend;
    }

    draw() {
      tooltip.hidden = true;
      this.panels.forEach((panel) => panel.draw());
    }
  }

  /** One set of axes. Its points are one stop of the tab key; the arrow keys go from point to point. */
  class Panel {
    constructor(chart, data) {
      this.chart = chart;
      this.data = data;
      this.marks = [];
      this.svg = make("svg", { role: "group", "aria-label": `${data.title}: a chart; its points are reached by the arrow keys` });
      this.box = make("div", { class: "panel" }, make("h3", {}, data.title), this.svg);
      this.svg.addEventListener("pointermove", (event) => this.point(event));
      this.svg.addEventListener("pointerdown", (event) => this.point(event));
      this.svg.addEventListener("pointerleave", (event) => { if (event.pointerType === "mouse") this.leave(); });
      this.svg.addEventListener("focusout", () => this.leave());
      this.svg.addEventListener("keydown", (event) => this.key(event));
    }

    /** The points that can be drawn now, by curve, from left to right. */
    visible() {
      const { x, y, log, hidden } = this.chart;
      const curves = new Map();
      for (const point of this.data.points) {
        const [cost, estimate] = [point.x[x.key], point.y[y.key]];
        if (hidden.has(point.c) || !known(cost) || !estimate || !known(estimate.m) || (log && x.log && cost <= 0)) continue;
        if (!curves.has(point.c)) curves.set(point.c, []);
        curves.get(point.c).push({ point, cost, m: estimate.m, l: known(estimate.l) ? estimate.l : estimate.m, h: known(estimate.h) ? estimate.h : estimate.m });
      }
      for (const points of curves.values()) points.sort((a, b) => a.cost - b.cost);
      return new Map([...curves].sort(([a], [b]) => a - b));
    }

    draw() {
      const width = this.svg.clientWidth, height = this.svg.clientHeight;
      if (!width) return;
      this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      this.svg.replaceChildren();
      this.marks = [];
      const curves = this.visible();
      const all = [...curves.values()].flat();
      if (!all.length) {
        this.svg.append(make("text", { x: width / 2, y: height / 2, "text-anchor": "middle", class: "empty" }, "nothing to show"));
        return;
      }
      this.axes(all, width, height);
      const front = (index) => Number(!this.data.front || this.data.front.includes(index));
      for (const [index, points] of [...curves].sort(([a], [b]) => front(a) - front(b))) this.curve(index, points);
      this.marks.forEach((mark, place) => mark.node.setAttribute("tabindex", place ? "-1" : "0"));
    }

    axes(all, width, height) {
      const { x, log } = this.chart;
      const byLog = log && x.log;
      let low = Math.min(...all.map((p) => p.cost)), high = Math.max(...all.map((p) => p.cost));
      const pad = byLog ? Math.max((high / low) ** 0.04, 1.03) : (high - low) * 0.04 || Math.abs(high) * 0.1 || 1;
      [low, high] = byLog ? [low / pad, high * pad] : [low - pad, high + pad];
      let bottom = Math.min(...all.map((p) => p.l)), top = Math.max(...all.map((p) => p.h));
      const space = (top - bottom) * 0.06 || Math.abs(top) * 0.1 || 1;
      [bottom, top] = [bottom - space, top + space];
      this.sx = scale(low, high, ROOM.left, width - ROOM.right, byLog);
      this.sy = scale(bottom, top, height - ROOM.bottom, ROOM.top, false);
      for (const tick of linearTicks(bottom, top, 5)) {
        const y = this.sy(tick);
        this.svg.append(make("line", { class: "grid", x1: ROOM.left, x2: width - ROOM.right, y1: y, y2: y }),
          make("text", { x: ROOM.left - 6, y: y + 4, "text-anchor": "end" }, number(Number(tick.toPrecision(6)))));
      }
      const floor = height - ROOM.bottom;
      for (const [tick, label] of this.ticks(low, high, byLog, width)) {
        this.svg.append(make("line", { class: "grid", x1: this.sx(tick), x2: this.sx(tick), y1: ROOM.top, y2: floor }),
          make("text", { x: this.sx(tick), y: floor + 16, "text-anchor": "middle" }, label));
      }
      this.svg.append(make("line", { class: "axis", x1: ROOM.left, x2: width - ROOM.right, y1: floor, y2: floor }),
        make("text", { x: (ROOM.left + width - ROOM.right) / 2, y: height - 8, "text-anchor": "middle" }, x.label));
      this.guide = make("line", { class: "guide", y1: ROOM.top, y2: floor, visibility: "hidden" });
      this.svg.append(this.guide);
    }

    ticks(low, high, byLog, width) {
      const given = this.chart.x.ticks;
      if (given) {
        const places = Object.keys(given).map(Number).filter((tick) => tick >= low && tick <= high).sort((a, b) => a - b);
        const every = Math.ceil(places.length / Math.max(2, (width - 70) / 42));
        return places.filter((_, place) => place % every === 0).map((tick) => [tick, given[tick]]);
      }
      const found = byLog ? logTicks(low, high) : linearTicks(low, high, Math.max(2, width / 90));
      return found.map((tick) => [tick, number(Number(tick.toPrecision(6)))]);
    }

    curve(index, points) {
      const { sx, sy } = this;
      const look = this.chart.data.curves[index];
      const behind = this.data.front && !this.data.front.includes(index);
      const group = make("g", { class: behind ? "curve behind" : "curve", "data-curve": index, style: colour(look) });
      const path = (values) => values.map(([x, y], k) => `${k ? "L" : "M"}${x.toFixed(1)} ${y.toFixed(1)}`).join("");
      if (points.length > 1) {
        const edge = [...points.map((p) => [sx(p.cost), sy(p.h)]), ...points.map((p) => [sx(p.cost), sy(p.l)]).reverse()];
        group.append(make("path", { class: "band", d: `${path(edge)}Z` }),
          make("path", { class: "line", d: path(points.map((p) => [sx(p.cost), sy(p.m)])), "stroke-dasharray": DASHES[look.dash] }));
      } else {
        const [p] = points, x = sx(p.cost);
        group.append(make("path", { class: "bar", d: `M${x} ${sy(p.l)}V${sy(p.h)}M${x - 4} ${sy(p.l)}H${x + 4}M${x - 4} ${sy(p.h)}H${x + 4}` }));
      }
      for (const p of points) group.append(this.mark(index, look, p));
      this.svg.append(group);
    }

    mark(index, look, p) {
      const [x, y] = [this.sx(p.cost), this.sy(p.m)];
      const rows = facts(this.chart.data, p.point, this.chart.y.key);
      const label = `${look.name}: ${rows.map(([name, value]) => `${name} ${value}`).join("; ")}`;
      const hollow = p.point.hollow || !look.filled;
      const dot = make("path", { class: hollow ? "dot hollow" : "dot", d: PAGE.markers[p.point.bare ? "." : look.marker] });
      const node = make("g", { class: "mark", transform: `translate(${x.toFixed(1)} ${y.toFixed(1)})`, role: "img", "aria-label": label },
        make("circle", { class: "halo", r: 11 }), dot);
      const mark = { index, x, y, node, rows, look };
      node.addEventListener("focus", () => this.show(mark));
      this.marks.push(mark);
      return node;
    }

    /** The pointer is somewhere: show the nearest point, if one is near. */
    point(event) {
      const box = this.svg.getBoundingClientRect();
      const [x, y] = [event.clientX - box.left, event.clientY - box.top];
      let nearest = null, least = REACH;
      for (const mark of this.marks) {
        const distance = Math.hypot(mark.x - x, mark.y - y);
        if (distance < least) [nearest, least] = [mark, distance];
      }
      if (nearest) this.show(nearest);
      else this.leave();
    }

    show(mark) {
      if (this.shown !== mark) this.leave();
      this.shown = mark;
      mark.node.classList.add("on");
      mark.node.parentNode.classList.add("touched");
      for (const end of ["x1", "x2"]) this.guide.setAttribute(end, mark.x);
      this.guide.setAttribute("visibility", "visible");
      showTooltip(this.chart.data, mark.look, mark.rows, mark.node.querySelector(".dot").getBoundingClientRect());
    }

    leave() {
      this.shown?.node.classList.remove("on");
      this.shown?.node.parentNode?.classList.remove("touched");
      this.guide?.setAttribute("visibility", "hidden");
      this.shown = null;
      tooltip.hidden = true;
    }

    /** Left and right go along a curve, up and down to the nearest point of the next one. */
    key(event) {
      if (event.key === "Escape") this.leave();
      const place = this.marks.findIndex((mark) => mark.node === document.activeElement);
      const here = this.marks[place];
      if (!here) return;
      let next = null;
      if (event.key === "ArrowRight") next = this.marks[place + 1];
      if (event.key === "ArrowLeft") next = this.marks[place - 1];
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        const others = [...new Set(this.marks.map((mark) => mark.index))];
        const wanted = others[others.indexOf(here.index) + (event.key === "ArrowDown" ? 1 : -1)];
        const near = this.marks.filter((mark) => mark.index === wanted);
        next = near.sort((a, b) => Math.abs(a.x - here.x) - Math.abs(b.x - here.x))[0];
      }
      if (!next) return;
      event.preventDefault();
      here.node.setAttribute("tabindex", "-1");
      next.node.setAttribute("tabindex", "0");
      next.node.focus();
    }

    emphasise(index) {
      for (const group of this.svg.querySelectorAll(".curve")) {
        group.classList.toggle("dim", index !== null && group.dataset.curve !== String(index));
        group.classList.toggle("touched", index !== null && group.dataset.curve === String(index));
      }
    }
  }

  for (const host of document.querySelectorAll("figure.chart")) new Chart(host, PAGE.charts[Number(host.dataset.chart)]);
  window.addEventListener("scroll", () => { tooltip.hidden = true; }, { passive: true });

  // Light and dark: the system's choice until the button is pressed; remembered where the browser allows it

  const root = document.documentElement;
  const remembered = (() => { try { return localStorage.getItem("tts-bench-theme"); } catch { return null; } })();
  if (remembered === "light" || remembered === "dark") root.dataset.theme = remembered;
  document.getElementById("theme").addEventListener("click", () => {
    const dark = root.dataset.theme ? root.dataset.theme === "dark" : matchMedia("(prefers-color-scheme: dark)").matches;
    root.dataset.theme = dark ? "light" : "dark";
    try { localStorage.setItem("tts-bench-theme", root.dataset.theme); } catch { /* a page from a file may not remember */ }
  });

  // An image, enlarged

  const zoom = document.getElementById("zoom");
  for (const button of document.querySelectorAll("button.zoom")) {
    button.addEventListener("click", () => {
      const [small, large] = [button.querySelector("img"), zoom.querySelector("img")];
      large.src = small.src;
      large.alt = small.alt;
      large.className = small.className;
      zoom.querySelector("p").textContent = small.alt;
      zoom.showModal();
    });
  }
  zoom.addEventListener("click", (event) => { if (event.target === zoom || event.target.tagName === "BUTTON") zoom.close(); });
})();
