"use strict";
(function () {
  const all = (selector, root) => Array.from((root || document).querySelectorAll(selector));
  const config = {
    responsive: true, displaylogo: false,
    modeBarButtonsToRemove: ["select2d", "lasso2d", "autoScale2d", "zoomIn2d", "zoomOut2d"],
  };
  const coarse = window.matchMedia("(pointer: coarse)").matches;
  const hidden = new Set();
  const data = (id) => JSON.parse(document.getElementById(id).textContent);

  // Charts are drawn when they come near the window, and all of them before printing.
  function draw(div) {
    if (div.dataset.drawn) return;
    div.dataset.drawn = "yes";
    const figure = data(div.id + "-data");
    if (coarse) figure.layout.dragmode = false; // else a finger could not scroll past a chart
    figure.data.forEach((trace) => { if (hidden.has(trace.meta)) trace.visible = false; });
    if (div.dataset.side) figure.layout.height = Math.min(figure.layout.height, Math.max(250, 0.9 * div.clientWidth));
    div.style.minHeight = figure.layout.height + "px";
    const set = div.closest("[data-atlas]");
    if (set && div.dataset.side) fill(set, div, figure);
    Plotly.newPlot(div, figure.data, figure.layout, config);
  }
  const charts = all(".chart");
  const watcher = new IntersectionObserver(
    (seen) => seen.forEach((entry) => { if (entry.isIntersecting) { watcher.unobserve(entry.target); draw(entry.target); } }),
    { rootMargin: "600px" }
  );
  charts.forEach((div) => watcher.observe(div));
  window.addEventListener("beforeprint", () => charts.forEach(draw));

  // A model is shown or hidden everywhere at once.
  function toggle(model) {
    if (!hidden.delete(model)) hidden.add(model);
    const visible = !hidden.has(model);
    all(".legend button").forEach((button) => {
      if (button.dataset.model === model) button.setAttribute("aria-pressed", String(visible));
    });
    charts.filter((div) => div.dataset.drawn).forEach((div) => {
      const traces = div.data.flatMap((trace, index) => (trace.meta === model ? [index] : []));
      if (traces.length) Plotly.restyle(div, { visible: visible }, traces);
    });
  }
  all(".legend button").forEach((button) => button.addEventListener("click", () => toggle(button.dataset.model)));

  // RDMs and planes are filled from one set of numbers per set of stimuli.
  const sets = new Map();
  function content(set) {
    if (!sets.has(set)) sets.set(set, data(set.id + "-payload"));
    return sets.get(set);
  }
  function square(base64, n) {
    const ranks = atob(base64);
    const rows = Array.from({ length: n }, () => new Array(n).fill(null));
    let place = 0;
    for (let i = 0; i < n; i++) for (let j = i + 1; j < n; j++) rows[i][j] = rows[j][i] = ranks.charCodeAt(place++);
    return rows;
  }
  function fill(set, div, figure) {
    const chosen = Number(set.querySelector("select[data-side=" + div.dataset.side + "]").value);
    const payload = content(set);
    figure.data.forEach((trace) => {
      if (trace.type === "heatmap") {
        trace.z = square(payload.rdms[chosen], trace.meta.length);
        trace.text = trace.meta.map((a) => trace.meta.map((b) => a + "<br>" + b));
      } else {
        const points = payload.planes[chosen].points;
        trace.x = trace.meta.map((row) => points[row][0]);
        trace.y = trace.meta.map((row) => points[row][1]);
      }
    });
    const caption = div.parentElement.querySelector("[data-caption]");
    if (caption) caption.textContent = payload.planes[chosen].caption;
  }
  all("[data-atlas] select").forEach((select) => select.addEventListener("change", () => {
    const set = select.closest("[data-atlas]");
    all(".chart[data-side=" + select.dataset.side + "]", set).filter((div) => div.dataset.drawn).forEach((div) => {
      fill(set, div, div);
      Plotly.redraw(div);
    });
  }));

  // The table of scores: a button in each head sorts; undefined values stay last.
  all("table[data-sortable]").forEach((table) => {
    const heads = all("thead th", table);
    const body = table.tBodies[0];
    heads.forEach((head, column) => {
      const button = head.querySelector("button");
      if (!button) return;
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        heads.forEach((other) => other.querySelector("button") && other.setAttribute("aria-sort", "none"));
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const numeric = "numeric" in head.dataset;
        const value = (row) => row.cells[column].dataset.value;
        const sign = down ? -1 : 1;
        Array.from(body.rows).map((row) => [value(row), row]).sort((one, two) => {
          const [a, b] = [one[0], two[0]];
          if (a === "" || b === "") return (a === "") - (b === "");
          return sign * (numeric ? Number(a) - Number(b) : a.localeCompare(b, "en"));
        }).forEach((pair) => body.append(pair[1]));
      });
    });
  });

  const filters = { panel: document.getElementById("filter-panel"), text: document.getElementById("filter-text") };
  function filter() {
    const wanted = filters.text.value.trim().toLowerCase();
    let count = 0;
    all("#scores tbody tr").forEach((row) => {
      const fits = (!filters.panel.value || row.dataset.panel === filters.panel.value) &&
        (!wanted || row.cells[0].textContent.toLowerCase().includes(wanted));
      row.hidden = !fits;
      count += fits;
    });
    document.getElementById("filter-count").textContent = count + " rows shown";
  }
  if (filters.panel) {
    filters.panel.addEventListener("change", filter);
    filters.text.addEventListener("input", filter);
    all("a[data-panel]").forEach((link) => link.addEventListener("click", () => {
      filters.panel.value = link.dataset.panel;
      filter();
    }));
  }
})();
