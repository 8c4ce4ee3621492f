// Requests to the server this page came from.

/** An answer that is not 2xx: `problem` is the RFC 9457 body (or a stand-in when there was no answer). */
export class ApiProblem extends Error {
  constructor(status, problem) {
    super(problem.detail || problem.title || `HTTP ${status}`);
    this.status = status;
    this.problem = problem;
  }
}

async function answer(path, options) {
  let response;
  try {
    response = await fetch(path, { credentials: "same-origin", cache: "no-store", ...options });
  } catch {
    throw new ApiProblem(0, { detail: "服务器无响应 (the server does not answer)", reason: "away" });
  }
  if (response.ok) return response.status === 204 ? null : response.json();
  let problem = {};
  try {
    problem = await response.json();
  } catch {
    problem = { detail: `HTTP ${response.status}` };
  }
  throw new ApiProblem(response.status, problem);
}

export const get = (path) => answer(`/api/v1/${path}`, {});

function send(path, body, headers = {}) {
  const options = { method: "POST", body: JSON.stringify(body), headers: { "Content-Type": "application/json", ...headers } };
  return answer(`/api/v1/${path}`, options);
}

export const openSession = (token) => send("session", { token });

/** What cameras show now; waits for their answers. Asked again only by whoever wants to see again. */
export const look = (wish) => send("looks", wish);

const ATTEMPTS = 3;

/** A command with one idempotency key for all attempts: done once, however often the answer gets lost. */
export async function command(body) {
  const key = Array.from(crypto.getRandomValues(new Uint8Array(16)), (byte) => byte.toString(16).padStart(2, "0")).join("");
  for (let attempt = 1; ; attempt += 1) {
    try {
      return await send("commands", body, { "Idempotency-Key": `wall-${key}` });
    } catch (problem) {
      const again = problem.status === 0 || problem.status === 503;
      if (!again || attempt === ATTEMPTS) throw problem;
      await new Promise((resolve) => setTimeout(resolve, 500 * attempt));
    }
  }
}
