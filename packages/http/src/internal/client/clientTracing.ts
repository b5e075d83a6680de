/** A program's trace settings for Effect's client, handed to ours. */

import type * as Fiber from "effect/Fiber"
import * as HttpClient from "effect/http/HttpClient"
import type * as HttpClientRequest from "effect/http/HttpClientRequest"
import type { Runtime } from "../call/runtime.ts"
import * as Spans from "../watch/spans.ts"
import { ofAttempts } from "./clientExecution.ts"

/** Whether the program wants spans of this request. */
export const isTraced = (
  fiber: Fiber.Fiber<unknown, unknown>,
  request: HttpClientRequest.HttpClientRequest
): boolean => {
  if (!Spans.isTracing(fiber)) return false
  const isDisabled = fiber.getRef(HttpClient.TracerDisabledWhen)
  return isDisabled === ofAttempts || !isDisabled(request)
}

/** The upstream, which is told of no trace where the program wants that. */
export const propagating = (runtime: Runtime, fiber: Fiber.Fiber<unknown, unknown>): Runtime =>
  fiber.getRef(HttpClient.TracerPropagationEnabled)
    ? runtime
    : { ...runtime, propagation: { ...runtime.propagation, trace: false, b3: false } }
