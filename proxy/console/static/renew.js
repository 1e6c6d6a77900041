// Draws a part anew by what differs alone: what stays the same keeps its focus, its selection, its tooltip and its place.
const THEIRS = "open"; // an attribute that the reader sets, by opening

export function renew(part, drawing) {
  const drawn = document.createElement("template");
  drawn.innerHTML = drawing; // escaped by the server
  follow(part, drawn.content);
}

function follow(there, drawn) {
  let old = there.firstChild;
  for (const now of [...drawn.childNodes]) {
    if (old === null) {
      there.append(now);
      continue;
    }
    const next = old.nextSibling;
    if (old.nodeName !== now.nodeName) old.replaceWith(now);
    else if (!old.isEqualNode(now)) change(old, now);
    old = next;
  }
  while (old !== null) {
    const next = old.nextSibling;
    old.remove();
    old = next;
  }
}

function change(old, now) {
  if (old.nodeType !== Node.ELEMENT_NODE) return void (old.data = now.data);
  for (const name of old.getAttributeNames()) if (name !== THEIRS && !now.hasAttribute(name)) old.removeAttribute(name);
  for (const { name, value } of now.attributes) if (old.getAttribute(name) !== value) old.setAttribute(name, value);
  follow(old, now);
}
