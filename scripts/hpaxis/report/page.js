"use strict";
(() => {
  const make = (tag, about) => Object.assign(document.createElement(tag), about);
  const give = (name, href) => { const a = make("a", { download: name, href }); document.body.append(a); a.click(); a.remove(); };

  // Tables: a column head sorts, a field filters.
  const NUMBER = /^[<>\s]*([+-]?(?:\d[\d,]*)?(?:\.\d+)?)/;
  const value = (text) => {
    const found = NUMBER.exec(text.trim().replace(/\u2212/g, "-"));
    return found && /\d/.test(found[1]) ? Number(found[1].replace(/,/g, "")) : NaN;
  };
  for (const table of document.querySelectorAll("figure.table table")) {
    const body = table.tBodies[0], rows = [...body.rows];
    if (rows.length < 3) continue;
    [...table.tHead.rows[0].cells].forEach((head, at) => {
      const button = make("button", { type: "button", className: "sort" });
      button.append(...head.childNodes);
      head.append(button);
      button.addEventListener("click", () => {
        const down = head.getAttribute("aria-sort") === "ascending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "descending" : "ascending");
        const key = rows.map((row) => row.cells[at].textContent);
        const numbers = key.map(value), numeric = numbers.filter((n) => !isNaN(n)).length > rows.length / 2;
        const order = rows.map((_, i) => i).sort((a, b) => {
          if (numeric && isNaN(numbers[a]) !== isNaN(numbers[b])) return isNaN(numbers[a]) ? 1 : -1;
          const by = numeric ? numbers[a] - numbers[b] : key[a].localeCompare(key[b], "en", { numeric: true });
          return (down ? -by : by) || a - b;
        });
        body.append(...order.map((i) => rows[i]));
      });
    });
    if (rows.length < 8) continue;
    const field = make("input", { type: "search", className: "filter", placeholder: "Filter rows" });
    field.setAttribute("aria-label", "Filter the rows of " + table.caption.textContent.trim());
    field.addEventListener("input", () => {
      const sought = field.value.trim().toLowerCase();
      for (const row of rows) row.hidden = !row.textContent.toLowerCase().includes(sought);
    });
    table.closest(".scroll").before(field);
  }

  // Figures: the drawing as SVG or PNG.
  for (const figure of document.querySelectorAll("figure.drawn")) {
    const svg = figure.querySelector("svg");
    const text = () => {
      const copy = svg.cloneNode(true), box = svg.viewBox.baseVal;
      copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
      copy.setAttribute("width", box.width + "pt");
      copy.setAttribute("height", box.height + "pt");
      return new XMLSerializer().serializeToString(copy);
    };
    const address = () => "data:image/svg+xml;charset=utf-8," + encodeURIComponent(text());
    for (const kind of ["SVG", "PNG"]) {
      const button = make("button", { type: "button", className: "take", textContent: kind });
      button.addEventListener("click", () => {
        if (kind === "SVG") return give(figure.id + ".svg", address());
        const image = new Image();
        image.addEventListener("load", () => {
          const box = svg.viewBox.baseVal, canvas = make("canvas", { width: box.width * 300 / 72, height: box.height * 300 / 72 });
          const pen = canvas.getContext("2d");
          pen.fillStyle = "white";
          pen.fillRect(0, 0, canvas.width, canvas.height);
          pen.drawImage(image, 0, 0, canvas.width, canvas.height);
          give(figure.id + ".png", canvas.toDataURL("image/png"));
        });
        image.src = address();
      });
      figure.querySelector("figcaption").append(" ", button);
    }
  }

  // Points: one stop for the tab key in each figure, arrows from point to point; the value beside the point.
  const tip = document.getElementById("tip");
  const hide = () => { tip.hidden = true; };
  for (const svg of document.querySelectorAll("figure.drawn svg")) {
    const points = [...svg.querySelectorAll("g.value")];
    points.forEach((point, at) => {
      const title = point.querySelector("title"), said = title.textContent;
      point.setAttribute("tabindex", at ? "-1" : "0");
      point.setAttribute("role", "img");
      point.setAttribute("aria-label", said);
      title.remove();
      const show = () => {
        const box = point.getBoundingClientRect();
        tip.textContent = said;
        tip.hidden = false;
        tip.style.left = Math.min(box.left + box.width / 2 + 8, innerWidth - tip.offsetWidth - 4) + "px";
        tip.style.top = Math.max(4, box.top - tip.offsetHeight - 6) + "px";
      };
      for (const event of ["mouseenter", "focus"]) point.addEventListener(event, show);
      for (const event of ["mouseleave", "blur"]) point.addEventListener(event, hide);
      point.addEventListener("keydown", (event) => {
        const step = { ArrowRight: 1, ArrowDown: 1, ArrowLeft: -1, ArrowUp: -1 }[event.key];
        if (event.key === "Escape") hide();
        if (!step) return;
        event.preventDefault();
        point.setAttribute("tabindex", "-1");
        const next = points[(at + step + points.length) % points.length];
        next.setAttribute("tabindex", "0");
        next.focus();
      });
    });
  }
  addEventListener("scroll", hide, { passive: true });

  // A link into something folded opens it.
  const open = () => {
    const found = location.hash.length > 1 && document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let at = found; at; at = at.parentElement) if (at.tagName === "DETAILS") at.open = true;
    if (found) { for (const inner of found.querySelectorAll(":scope > details")) inner.open = true; found.scrollIntoView(); }
  };
  addEventListener("hashchange", open);
  open();
})();
