// What the parts of the page have in common.

export const byId = (id) => document.getElementById(id);

/** Adds a cell. Where columns do not fit, its label stands before its text. */
export function cell(row, text, label, className = "") {
  const td = row.insertCell();
  if (text) td.textContent = td.title = text;
  td.dataset.label = label;
  if (className) td.className = className;
  return td;
}

export function button(parent, label, title, action) {
  const made = document.createElement("button");
  Object.assign(made, { type: "button", textContent: label, title, onclick: action });
  parent.append(made);
}
