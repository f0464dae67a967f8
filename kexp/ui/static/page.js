// What all pages share: requests, event streams, times of the browser's zone. Without scripts the pages can be read.

export function element(tag, text, attributes = {}) {
  const made = document.createElement(tag);
  if (text !== undefined && text !== null) made.textContent = text;
  for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
  return made;
}

export async function request(url, options) {
  const response = await fetch(url, options);
  const answer = await response.json();
  if (!response.ok) throw new Error(typeof answer.detail === "string" ? answer.detail : "the request is not valid");
  return answer;
}

export function post(url, body) {
  return request(url, { method: "POST", headers: { "Content-Type": "application/json" }, body: JSON.stringify(body) });
}

// --- times ------------------------------------------------------------------------------------------------------

const pad = (number) => String(number).padStart(2, "0");

export function localTimes(place = document) {
  const zone = Intl.DateTimeFormat().resolvedOptions().timeZone;
  for (const time of place.querySelectorAll("time[datetime]")) {
    const at = new Date(time.dateTime);
    if (isNaN(at)) continue;
    time.textContent = `${at.getFullYear()}-${pad(at.getMonth() + 1)}-${pad(at.getDate())} ${pad(at.getHours())}:${pad(at.getMinutes())}`;
    time.title = `${time.dateTime}, shown in ${zone}`;
  }
}

// HTML of the server's templates, in which every name is escaped.
export function fragment(html) {
  const template = document.createElement("template");
  template.innerHTML = html;
  localTimes(template.content);
  return template.content;
}

const RETRY = 3000; // milliseconds until a connection that broke is opened again

// --- event streams ----------------------------------------------------------------------------------------------

// Listens while the page is seen: a browser opens few connections to one server. `handlers` take the data of an event
// by its kind; after "end" nothing more comes. `url` is a function of whether the stream was open before, since what was
// missed meanwhile has to be sent. Returns the function that ends it.
export function listen(url, handlers) {
  let source = null;
  let over = false;
  let again = false;
  let waiting = 0;
  const connection = document.getElementById("connection");
  const close = () => {
    clearTimeout(waiting);
    source?.close();
    source = null;
  };
  const open = () => {
    if (source || over || document.hidden) return;
    source = new EventSource(url(again));
    again = true;
    source.onopen = () => { connection.textContent = ""; };
    source.onerror = () => {
      connection.textContent = "not connected";
      const refused = source?.readyState === EventSource.CLOSED;
      close();
      if (!refused) waiting = setTimeout(open, RETRY);
    };
    for (const [kind, handle] of Object.entries(handlers)) {
      source.addEventListener(kind, (event) => handle(JSON.parse(event.data)));
    }
    source.addEventListener("end", stop);
  };
  const seen = () => (document.hidden ? close() : open());
  function stop() {
    over = true;
    close();
    document.removeEventListener("visibilitychange", seen);
  }
  document.addEventListener("visibilitychange", seen);
  open();
  return stop;
}

export function showTrouble({ detail }) {
  const place = document.getElementById("trouble");
  place.textContent = detail;
  place.hidden = false;
}

localTimes();
