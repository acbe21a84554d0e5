// The texts of a page whose contrast with what is painted behind them is below `least`: [text, contrast, tag] each (WCAG 2's ratio).
(least) => {
  const pen = document.createElement("canvas").getContext("2d", {willReadFrequently: true});
  const linear = value => value <= 0.04045 ? value / 12.92 : ((value + 0.055) / 1.055) ** 2.4;
  const luminance = ([r, g, b]) => 0.2126 * linear(r / 255) + 0.7152 * linear(g / 255) + 0.0722 * linear(b / 255);
  const paint = colour => {  // over what was painted before
    pen.fillStyle = colour;
    pen.fillRect(0, 0, 1, 1);
    return luminance(pen.getImageData(0, 0, 1, 1).data);
  };
  const contrast = element => {
    let ground = paint("white");
    const around = [];
    for (let one = element; one; one = one.parentElement) around.unshift(one);
    for (const one of around) ground = paint(getComputedStyle(one).backgroundColor);
    const text = paint(getComputedStyle(element).color);
    return (Math.max(text, ground) + 0.05) / (Math.min(text, ground) + 0.05);
  };
  const says = element => [...element.childNodes].some(node => node.nodeType === Node.TEXT_NODE && node.data.trim());
  return [...document.querySelectorAll("article *")]
    .filter(element => says(element) && element.checkVisibility({visibilityProperty: true, opacityProperty: true}) && !element.closest("svg"))
    .map(element => [element.textContent.trim().slice(0, 40), contrast(element), element.tagName])
    .filter(([, ratio]) => ratio < least);
}
