// Names beside points: each at the first of eight places that is clear of frame, marks and other names.
const SIDES = ["top right", "bottom right", "top left", "bottom left", "middle right", "middle left", "top center", "bottom center"];
// `mark` is the size of the invisible marks that keep names off their points, `gap` the distance that Plotly leaves for it.
const LABEL = { size: 11, line: 12, mark: 12, gap: 8.5 };
// Plotly never gives a point a name again that was once empty.
const NONE = "\u00a0";
const measure = document.createElement("canvas").getContext("2d");

// Return the box of a text on one side of a place, in pixels of the plot.
function labelBox(x, y, width, side) {
  const [up, across] = side.split(" ");
  const left = across === "right" ? x + LABEL.gap : across === "left" ? x - LABEL.gap - width : x - width / 2;
  const top = up === "top" ? y - LABEL.gap - LABEL.line : up === "bottom" ? y + LABEL.gap : y - LABEL.line / 2;
  return { left, top, right: left + width, bottom: top + LABEL.line };
}

const overlaps = (one, other) => one.left < other.right && other.left < one.right && one.top < other.bottom && other.top < one.bottom;

// Return text and side of every label; the text is a blank where no place is free, and hovering still shows it.
function placed(labels, obstacles, frame) {
  measure.font = `${LABEL.size}px ${getComputedStyle(document.body).fontFamily}`;
  const taken = [...obstacles];
  return labels.map(({ x, y, text }) => {
    const width = measure.measureText(text).width + 2;
    for (const side of SIDES) {
      const box = labelBox(x, y, width, side);
      const inside = box.left >= 0 && box.top >= 0 && box.right <= frame.width && box.bottom <= frame.height;
      if (inside && !taken.some((other) => overlaps(box, other))) {
        taken.push(box);
        return { text, side };
      }
    }
    return { text: NONE, side: SIDES[0] };
  });
}

// Return the space around a line from one place to another, which is level or upright.
function along([x0, y0], [x1, y1], width = 2) {
  return { left: Math.min(x0, x1) - width, right: Math.max(x0, x1) + width, top: Math.min(y0, y1) - width, bottom: Math.max(y0, y1) + width };
}
