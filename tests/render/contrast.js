// WCAG 2 contrast of every piece of text against the first opaque background behind it.
() => {
  const rgb = (text) => text.match(/[\d.]+/g).map(Number);
  const channel = (value) => (value / 255 <= 0.03928 ? value / 255 / 12.92 : ((value / 255 + 0.055) / 1.055) ** 2.4);
  const light = ([r, g, b]) => 0.2126 * channel(r) + 0.7152 * channel(g) + 0.0722 * channel(b);
  const ratio = (one, other) => {
    const [high, low] = [light(one), light(other)].sort((a, b) => b - a);
    return (high + 0.05) / (low + 0.05);
  };
  const behind = (start) => {
    for (let node = start; node; node = node.parentElement) {
      const found = rgb(getComputedStyle(node).backgroundColor);
      if (found.length < 4 || found[3] > 0) return found;
    }
    return [255, 255, 255];
  };
  const holdsText = (node) => [...node.childNodes].some((each) => each.nodeType === 3 && each.data.trim());
  const low = [];
  for (const node of document.querySelectorAll("body *")) {
    if (["title", "desc"].includes(node.localName) || !holdsText(node) || !node.checkVisibility()) continue;
    const style = getComputedStyle(node);
    const inSvg = node.localName === "text";
    const back = inSvg ? rgb(getComputedStyle(node.parentElement.querySelector("rect")).fill) : behind(node);
    const found = ratio(rgb(inSvg ? style.fill : style.color), back);
    if (found < 4.5) low.push(`${node.outerHTML.slice(0, 80)} ${found.toFixed(2)}`);
  }
  return low;
}
