// Takes the link's code out of the address, where nobody else has seen it, and sends it as the form would.
"use strict";
const code = new URLSearchParams(location.hash.slice(1)).get("t");
if (code) {
  history.replaceState(null, "", location.pathname);
  const form = document.getElementById("enter");
  form.elements.token.value = code;
  form.requestSubmit();
}
