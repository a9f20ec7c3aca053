// Runs in the head: the theme must stand before the first paint. Nothing here builds markup from text.
(() => {
  "use strict";
  const root = document.documentElement;
  const themes = ["auto", "light", "dark"];
  const remembered = () => { try { return localStorage.getItem("bottleneck-theme"); } catch { return null; } };
  const setTheme = (name) => {
    if (name === "auto") root.removeAttribute("data-theme"); else root.setAttribute("data-theme", name);
    try { localStorage.setItem("bottleneck-theme", name); } catch { /* a page may not store anything */ }
  };
  let theme = themes.includes(remembered()) ? remembered() : "auto";
  if (theme !== "auto") setTheme(theme);

  const themeButton = () => {
    const button = document.getElementById("theme");
    const show = () => { button.textContent = `Theme: ${theme}`; };
    button.hidden = false;
    show();
    button.addEventListener("click", () => {
      theme = themes[(themes.indexOf(theme) + 1) % themes.length];
      setTheme(theme);
      show();
    });
  };

  const select = (node) => {
    const range = document.createRange();
    range.selectNodeContents(node);
    const selection = getSelection();
    selection.removeAllRanges();
    selection.addRange(range);
  };
  const copyButtons = () => {
    for (const button of document.querySelectorAll("button.copy")) {
      button.hidden = false;
      button.addEventListener("click", async () => {
        const code = button.parentElement.querySelector("code");
        let done = true;
        try { await navigator.clipboard.writeText(code.textContent); } catch {
          select(code);
          done = document.execCommand("copy");
        }
        button.textContent = done ? "Copied" : "Press Ctrl+C";
        setTimeout(() => { button.textContent = "Copy"; }, 2000);
      });
    }
  };

  const print = () => {
    let opened = [];
    const open = () => {
      const shut = [...document.querySelectorAll("details:not([open])")];
      for (const each of shut) each.open = true;
      opened = opened.concat(shut);
    };
    const close = () => { for (const each of opened) each.open = false; opened = []; };
    addEventListener("beforeprint", open);
    addEventListener("afterprint", close);
    matchMedia("print").addEventListener("change", (event) => (event.matches ? open() : close()));
  };

  // What scrolls sideways must be reachable without a mouse, and only then.
  const scrollers = () => {
    for (const each of document.querySelectorAll(".scroll, .flame-box")) {
      const scrolls = each.scrollWidth > each.clientWidth + 1;
      if (scrolls) { each.tabIndex = 0; each.setAttribute("role", "region"); } else { each.removeAttribute("tabindex"); each.removeAttribute("role"); }
    }
  };

  const flame = (box) => {
    const frames = [...box.querySelectorAll(".f")].map((node) => ({
      node, x: +node.dataset.x, w: +node.dataset.w, d: +node.dataset.d,
    }));
    const byNode = new Map(frames.map((frame) => [frame.node, frame]));
    const info = box.parentElement.parentElement.querySelector(".flame-info");
    let zoomed = frames[0];
    const inside = (frame, other) => frame.x >= other.x - 0.002 && frame.x + frame.w <= other.x + other.w + 0.002;
    const tell = (frame) => { info.textContent = `${frame.node.textContent}: ${frame.node.dataset.s} of the samples`; };
    const zoom = (target) => {
      zoomed = target;
      for (const frame of frames) {
        const above = frame.d < target.d && inside(target, frame);
        const seen = above || (frame.d >= target.d && inside(frame, target));
        frame.node.hidden = !seen;
        frame.node.classList.toggle("above", above);
        frame.node.style.left = above ? "0%" : `${(100 * (frame.x - target.x)) / target.w}%`;
        frame.node.style.width = above ? "100%" : `${(100 * frame.w) / target.w}%`;
      }
    };
    const focus = (frame) => {
      if (!frame) return;
      for (const each of frames) each.node.tabIndex = -1;
      frame.node.tabIndex = 0;
      frame.node.focus();
    };
    const row = (frame, depth) => frames.filter((each) => each.d === depth && !each.node.hidden);
    const moves = {
      ArrowUp: (at) => row(at, at.d - 1).find((each) => inside(at, each)),
      ArrowDown: (at) => row(at, at.d + 1).filter((each) => inside(each, at)).sort((a, b) => b.w - a.w)[0],
      ArrowLeft: (at) => row(at, at.d).filter((each) => each.x < at.x).pop(),
      ArrowRight: (at) => row(at, at.d).find((each) => each.x > at.x),
    };
    box.addEventListener("focusin", (event) => { const at = byNode.get(event.target); if (at) tell(at); });
    box.addEventListener("mouseover", (event) => { const at = byNode.get(event.target); if (at) tell(at); });
    box.addEventListener("click", (event) => {
      const at = byNode.get(event.target);
      if (at) { zoom(at === zoomed ? frames[0] : at); focus(at); }
    });
    box.addEventListener("keydown", (event) => {
      const at = byNode.get(event.target);
      if (!at) return;
      if (event.key === "Escape") { zoom(frames[0]); focus(at); } else if (moves[event.key]) { focus(moves[event.key](at)); } else return;
      event.preventDefault();
    });
  };

  document.addEventListener("DOMContentLoaded", () => {
    themeButton();
    copyButtons();
    print();
    for (const box of document.querySelectorAll(".flame")) flame(box);
    scrollers();
    addEventListener("resize", scrollers);
    document.addEventListener("toggle", scrollers, true);
  });
})();
