// The script of the first page. It shows who is signed in.

import { page, request, start } from "./sign_in.js";

start({
  enter: () => request("GET", "users/me").catch(() => {}), // after a 401 the form appears
  exit: () => {},
  forget: () => {},
  focus: page.heading,
});
