// Requests to the server. Every error is one sentence (`message`); `expected` tells it from a bug of the page.

import { emit } from "./state.js";

let token = document.querySelector("meta[name=token]").content;
const door = new URLSearchParams(location.search).get("token"); // in a notebook's frame there are no cookies

/** The headers that every request has. */
const tokenHeaders = () => ({ "X-Moebius-Token": token, ...(door ? { Authorization: `Bearer ${door}` } : {}) });

export class ApiError extends Error {
  constructor(message, status = 0, ask = false) {
    super(message);
    Object.assign(this, { status, ask, expected: true });
  }
}

/** A request; `body` is a Blob (sent as it is) or a plain value (JSON). Returns the Response. */
export async function request(method, path, body, options = {}) {
  const headers = tokenHeaders();
  if (body !== undefined)
    headers["Content-Type"] = body instanceof Blob ? "application/octet-stream" : "application/json";
  const content = body === undefined || body instanceof Blob ? body : JSON.stringify(body);
  let response;
  try {
    response = await fetch(path, { method, headers, body: content, ...options });
  } catch (error) {
    if (error.name === "AbortError") throw error;
    emit("no-answer");
    throw new ApiError("The server does not answer. What you painted is kept.");
  }
  if (response.ok) return response;
  const answer = await response.json().catch(() => ({}));
  throw new ApiError(answer.error ?? `The server answered ${response.status}.`, response.status, answer.ask === true);
}

async function json(method, path, body, options) {
  const response = await request(method, path, body, options);
  return response.status === 204 ? null : response.json();
}

export const get = (path) => json("GET", path);
export const post = (path, body = {}) => json("POST", path, body);
export const put = (path, body, options) => json("PUT", path, body, options);
export const remove = (path) => json("DELETE", path);

/** A file and the name that the server gives it. */
export async function download(path) {
  const response = await request("GET", path);
  const disposition = response.headers.get("Content-Disposition") ?? "";
  const plain = /filename="([^"]*)"/.exec(disposition)?.[1];
  const coded = /filename\*=utf-8''([^;]*)/i.exec(disposition)?.[1];
  return { blob: await response.blob(), name: coded ? decodeURIComponent(coded) : (plain ?? "photo") };
}

/** Send a photo's file to the server. Returns the server's description of the photo. */
export async function upload(file, name = file.name) {
  const response = await request("POST", `/api/photos?name=${encodeURIComponent(name || "pasted.png")}`, file);
  return response.json();
}

/** GET /api/state. When the server does not answer, no message is shown. */
export const askState = () => fetch("/api/state", { headers: tokenHeaders() });

/** Use another session's token, which a restarted server has given. */
export const useToken = (given) => (token = given);

/** The address of events; requests for them carry no headers. */
export const eventsUrl = () => `/api/events?session=${encodeURIComponent(token)}`;

export const photoUrl = (photo) => `/api/photos/${photo.id}`;
export const versionUrl = (photo, id) => `${photoUrl(photo)}/versions/${id}`;
