// Takes the link's code out of the address, where nobody else has seen it, and puts it into the form.
// A person sends it: a program that opens links to look at them uses nothing up. In another site's frame, where
// the person is logged in already, it goes by itself.
"use strict";
const code = new URLSearchParams(location.hash.slice(1)).get("t");
if (code) {
  history.replaceState(null, "", location.pathname);
  const form = document.getElementById("enter");
  form.elements.token.value = code;
  form.classList.add("filled");
  if (window.self === window.top) form.querySelector("button").focus();
  else form.requestSubmit();
}
