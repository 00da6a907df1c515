"use strict";
(() => {
  const root = document.documentElement;
  const viewer = document.querySelector(".viewer");
  const figures = [...viewer.querySelectorAll("figure")];
  const captions = [...document.querySelectorAll(".caption")];
  const heatMaps = JSON.parse(document.getElementById("heat").textContent);
  const legend = document.querySelector(".legend");
  const strength = legend.querySelector("input");
  const absentMaps = document.querySelector(".absent-maps");
  const readout = document.querySelector(".tools output");
  const press = (button, on) => button.setAttribute("aria-pressed", String(on));
  const clamp = (v, low, high) => Math.min(high, Math.max(low, v));

  // one view per radiograph: grey values, window (centre and width in 0..1), zoom relative to fit, offset in pixels
  const views = figures.map((figure) => ({ figure, img: figure.querySelector("img"), ready: false,
    centre: 0.5, width: 1, invert: false, zoom: 1, x: 0, y: 0 }));
  // with fingers no tool is chosen at first: one finger scrolls the page, which on a phone the viewer fills
  const fingers = matchMedia("(any-pointer: coarse)").matches;
  let current = 0, tool = null, heatName = null, pending = false;
  const view = () => views[current];

  function prepare(v) {
    const canvas = document.createElement("canvas"), overlay = document.createElement("canvas");
    canvas.width = v.img.naturalWidth; canvas.height = v.img.naturalHeight;
    overlay.className = "overlay"; overlay.hidden = true;
    const context = canvas.getContext("2d", { willReadFrequently: true });
    context.drawImage(v.img, 0, 0);
    v.image = context.getImageData(0, 0, canvas.width, canvas.height);
    v.grey = new Uint8Array(canvas.width * canvas.height);
    for (let i = 0; i < v.grey.length; i++) v.grey[i] = v.image.data[4 * i];
    v.packed = new Uint32Array(v.image.data.buffer);
    v.canvas = canvas; v.overlay = overlay; v.context = context; v.ready = true;
    canvas.setAttribute("role", "img"); canvas.setAttribute("aria-label", v.img.alt);
    v.img.hidden = true;
    v.figure.append(canvas, overlay);
  }

  function paint(v) {
    const table = new Uint32Array(256), low = v.centre - v.width / 2;
    for (let g = 0; g < 256; g++) {
      let out = clamp(Math.round(255 * (g / 255 - low) / v.width), 0, 255);
      if (v.invert) out = 255 - out;
      table[g] = (0xff000000 | (out << 16) | (out << 8) | out) >>> 0;
    }
    for (let i = 0; i < v.grey.length; i++) v.packed[i] = table[v.grey[i]];
    v.context.putImageData(v.image, 0, 0);
  }

  function fit(v) {
    const w = viewer.clientWidth, h = viewer.clientHeight;
    const scale = Math.min(w / v.canvas.width, h / v.canvas.height);
    return { scale, left: (w - scale * v.canvas.width) / 2, top: (h - scale * v.canvas.height) / 2 };
  }

  function place(v) {
    const f = fit(v), scale = f.scale * v.zoom;
    v.canvas.style.transform = `translate(${f.left + v.x}px, ${f.top + v.y}px) scale(${scale})`;
    if (v.overlay.width) {
      const sx = scale * v.canvas.width / v.overlay.width, sy = scale * v.canvas.height / v.overlay.height;
      v.overlay.style.transform = `translate(${f.left + v.x}px, ${f.top + v.y}px) scale(${sx}, ${sy})`;
    }
    readout.textContent = `zoom ${Math.round(100 * v.zoom)} %, window ${Math.round(100 * v.width)} at ${Math.round(100 * v.centre)}`;
  }

  function refresh(repaint) {
    const v = view();
    if (!v.ready) return;
    if (repaint) v.dirty = true;
    if (pending) return;
    pending = true;
    requestAnimationFrame(() => { pending = false; const now = view(); if (now.dirty) { paint(now); now.dirty = false; } place(now); });
  }

  function zoomBy(factor, px, py) {
    const v = view(), f = fit(v), before = v.zoom;
    v.zoom = clamp(before * factor, 0.5, 20);
    const k = v.zoom / before;
    const cx = (px ?? viewer.clientWidth / 2) - f.left, cy = (py ?? viewer.clientHeight / 2) - f.top;
    v.x = cx - k * (cx - v.x); v.y = cy - k * (cy - v.y);
    refresh(false);
  }

  function windowBy(dx, dy) {
    const v = view();
    v.width = clamp(v.width * Math.exp(dx), 0.02, 2);
    v.centre = clamp(v.centre + dy * v.width, 0, 1);
    refresh(true);
  }

  function reset() {
    Object.assign(view(), { centre: 0.5, width: 1, invert: false, zoom: 1, x: 0, y: 0 });
    press(document.querySelector('[data-do="invert"]'), false);
    refresh(true);
  }

  function invert() {
    const v = view(); v.invert = !v.invert;
    press(document.querySelector('[data-do="invert"]'), v.invert);
    refresh(true);
  }

  // warm for a present finding, blue for an absent one: each map is drawn up to its own strongest place, so brightness
  // does not tell them apart; the same colours stand in the legend's scale
  const warm = [[49, 18, 128], [201, 42, 98], [255, 166, 43], [255, 244, 143]];
  const cool = [[20, 40, 90], [40, 110, 190], [110, 185, 235], [205, 235, 255]];
  function colour(stops, t) {
    const p = t * (stops.length - 1), i = Math.min(Math.floor(p), stops.length - 2), r = p - i;
    return stops[i].map((c, k) => c + r * (stops[i + 1][k] - c));
  }

  function showHeat() {
    const v = view(), source = heatName && heatMaps[current] && heatMaps[current][heatName];
    let says = null;
    legend.hidden = !source;
    for (const button of document.querySelectorAll("button.heat")) {
      const there = Boolean(heatMaps[current] && heatMaps[current][button.dataset.finding]);
      const on = there && button.dataset.finding === heatName;
      if (on) says = button.dataset;
      press(button, on);
      button.textContent = on ? "Hide" : "Show";
      button.disabled = !there;
    }
    if (!v.ready) return;
    v.overlay.hidden = !source;
    if (!source) return;
    const stops = says.present === "true" ? warm : cool, blank = legend.querySelector(".blank");
    legend.querySelector("b").textContent = `Heat map of ${heatName}.`;
    legend.querySelector(".says").textContent = says.says;
    legend.classList.toggle("absent", stops === cool);
    blank.hidden = true;
    const picture = new Image(), wanted = heatName;
    picture.onload = () => {
      if (wanted !== heatName || v !== view()) return;
      v.overlay.width = picture.naturalWidth; v.overlay.height = picture.naturalHeight;
      const context = v.overlay.getContext("2d", { willReadFrequently: true });
      context.drawImage(picture, 0, 0);
      const data = context.getImageData(0, 0, v.overlay.width, v.overlay.height), d = data.data;
      blank.hidden = d.some((value, i) => i % 4 === 0 && value > 0);
      for (let i = 0; i < d.length; i += 4) {
        const t = d[i] / 255, rgb = colour(stops, t);
        d[i] = rgb[0]; d[i + 1] = rgb[1]; d[i + 2] = rgb[2];
        d[i + 3] = 255 * Math.min(1, 1.4 * t) * strength.value / 100;
      }
      context.putImageData(data, 0, 0);
      place(v);
    };
    picture.src = source;
  }

  function choose(index) {
    current = index;
    figures.forEach((f, i) => { f.hidden = i !== index; });
    captions.forEach((c, i) => { c.hidden = i !== index; });
    document.querySelectorAll(".tabs button").forEach((b, i) => press(b, i === index));
    press(document.querySelector('[data-do="invert"]'), view().invert);
    refresh(true);
    showHeat();
  }

  function setTool(name) {
    tool = fingers && name === tool ? null : name;
    viewer.classList.toggle("pan", tool === "pan");
    viewer.classList.toggle("held", tool !== null);
    document.querySelectorAll("[data-tool]").forEach((b) => press(b, b.dataset.tool === tool));
  }

  document.addEventListener("click", (event) => {
    const button = event.target.closest("button");
    if (!button) return;
    if (button.dataset.image !== undefined) choose(Number(button.dataset.image));
    else if (button.dataset.tool) setTool(button.dataset.tool);
    else if (button.dataset.finding) { heatName = heatName === button.dataset.finding ? null : button.dataset.finding; showHeat(); }
    else if (button.dataset.do === "in") zoomBy(1.25);
    else if (button.dataset.do === "out") zoomBy(0.8);
    else if (button.dataset.do === "invert") invert();
    else if (button.dataset.do === "reset") reset();
  });
  strength.addEventListener("input", showHeat);
  absentMaps?.addEventListener("change", () => {
    document.querySelector(".findings").classList.toggle("all", absentMaps.checked);
    const shown = document.querySelector('button.heat[aria-pressed="true"]');
    if (!absentMaps.checked && shown && shown.dataset.present === "false") { heatName = null; showHeat(); }
  });

  const pointers = new Map();
  let spread = 0;
  viewer.addEventListener("contextmenu", (event) => event.preventDefault());
  viewer.addEventListener("pointerdown", (event) => {
    pointers.set(event.pointerId, event);
    viewer.setPointerCapture(event.pointerId);
    spread = 0;
  });
  viewer.addEventListener("pointermove", (event) => {
    const last = pointers.get(event.pointerId);
    if (!last || !view().ready) return;
    const dx = event.clientX - last.clientX, dy = event.clientY - last.clientY;
    pointers.set(event.pointerId, event);
    if (pointers.size === 2) {
      const [a, b] = [...pointers.values()], box = viewer.getBoundingClientRect();
      const v = view(); v.x += dx / 2; v.y += dy / 2;
      const now = Math.hypot(a.clientX - b.clientX, a.clientY - b.clientY);
      if (spread > 0 && now > 0) zoomBy(now / spread, (a.clientX + b.clientX) / 2 - box.left, (a.clientY + b.clientY) / 2 - box.top);
      spread = now;
    } else if (event.pointerType === "touch" && tool === null) {
      return;
    } else if (tool === "pan" || event.shiftKey || (event.buttons & 6)) {
      const v = view(); v.x += dx; v.y += dy; refresh(false);
    } else {
      windowBy(dx / 300, -dy / 300);
    }
  });
  for (const name of ["pointerup", "pointercancel"]) viewer.addEventListener(name, (event) => { pointers.delete(event.pointerId); spread = 0; });
  viewer.addEventListener("wheel", (event) => {
    event.preventDefault();
    const box = viewer.getBoundingClientRect();
    zoomBy(Math.exp(-event.deltaY / 400), event.clientX - box.left, event.clientY - box.top);
  }, { passive: false });
  viewer.addEventListener("dblclick", reset);

  viewer.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey) return;
    const v = view(), step = 40, arrows = { ArrowLeft: [-1, 0], ArrowRight: [1, 0], ArrowUp: [0, -1], ArrowDown: [0, 1] };
    const arrow = arrows[event.key];
    if (arrow && event.shiftKey) windowBy(arrow[0] * 0.1, -arrow[1] * 0.05);
    else if (arrow) { v.x += arrow[0] * step; v.y += arrow[1] * step; refresh(false); }
    else if (event.key === "+" || event.key === "=") zoomBy(1.25);
    else if (event.key === "-") zoomBy(0.8);
    else if (event.key === "i") invert();
    else if (event.key === "0") reset();
    else return;
    event.preventDefault();
  });
  new ResizeObserver(() => refresh(false)).observe(viewer);

  root.classList.add("scripted");
  setTool(fingers ? null : "window");
  choose(0);
  views.forEach((v, i) => v.img.decode().then(() => { prepare(v); v.dirty = true; if (i === current) { refresh(true); showHeat(); } }));
})();
