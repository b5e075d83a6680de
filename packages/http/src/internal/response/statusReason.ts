/** Which reason a status stands for. */

import * as Option from "effect/Option"
import * as Result from "effect/Result"
import * as Nesting from "@holdfast/core/Nesting"
import * as ProblemDetails from "@holdfast/core/ProblemDetails"
import * as Reason from "@holdfast/core/Reason"
import { stackless } from "@holdfast/core/Stackless"
import * as Redaction from "../../Redaction.ts"
import * as RetryAfter from "../../RetryAfter.ts"
import type * as Transport from "../../Transport.ts"

const named = {
  400: Reason.BadRequest,
  401: Reason.Unauthorized,
  402: Reason.PaymentRequired,
  403: Reason.Forbidden,
  404: Reason.NotFound,
  405: Reason.MethodNotAllowed,
  406: Reason.NotAcceptable,
  408: Reason.RequestTimeout,
  409: Reason.Conflict,
  410: Reason.Gone,
  412: Reason.PreconditionFailed,
  413: Reason.ContentTooLarge,
  415: Reason.UnsupportedMediaType,
  421: Reason.MisdirectedRequest,
  422: Reason.UnprocessableContent,
  423: Reason.Locked,
  425: Reason.TooEarly,
  426: Reason.UpgradeRequired,
  428: Reason.PreconditionRequired,
  429: Reason.TooManyRequests,
  451: Reason.UnavailableForLegalReasons,
  500: Reason.InternalServerError,
  501: Reason.NotImplemented,
  502: Reason.BadGateway,
  503: Reason.ServiceUnavailable,
  504: Reason.GatewayTimeout
} as const

const isNamed = (status: number): status is keyof typeof named => Object.hasOwn(named, status)

const decoder = new TextDecoder()

/** The body as text; bytes that are not UTF-8 become replacement characters, never a failure. */
export const bodyText = (body: Uint8Array): string => decoder.decode(body)

const isJson = (contentType: string | undefined): boolean =>
  contentType !== undefined && /[/+]json\b/i.test(contentType)

/** Any body of a JSON error that has the members of a problem is read as one: many servers leave the media type out. */
const problemOf = (contentType: string | undefined, text: string): ProblemDetails.ProblemDetails | undefined => {
  if (!isJson(contentType)) return undefined
  const problem = Option.flatMap(Result.getSuccess(Nesting.parseJson(text)), ProblemDetails.decode)
  if (Option.isNone(problem)) return undefined
  const { title, detail, type } = problem.value
  const declared = contentType?.toLowerCase().includes(ProblemDetails.contentType) === true
  return declared || title !== undefined || (detail !== undefined && type !== "about:blank") ? problem.value : undefined
}

/** The reason that a response stands for whose status is an error. */
export const statusReason = (
  endpoint: string,
  response: Transport.Response,
  nowEpochMillis: number,
  /** Redirects that led to the response. */
  followed = 0
): Reason.StatusReason | Reason.TooManyRedirects => {
  const { status, headers } = response
  if (status < 400) {
    const target = headers["location"]
    // a relative one leads to the same origin, which the endpoint says already
    const location = target === undefined ? null : URL.parse(target)
    return stackless(
      () =>
        new Reason.TooManyRedirects({
          endpoint,
          status,
          followed,
          ...(location === null ? {} : { location: location.origin })
        })
    )
  }
  const body = bodyText(response.body)
  const problem = problemOf(headers["content-type"], body)
  const retryAfter = RetryAfter.fromHeaders(headers, nowEpochMillis)
  const fields = {
    endpoint,
    headers: Redaction.headers(headers),
    body,
    bodyComplete: response.bodyComplete,
    ...(problem === undefined ? {} : { problem }),
    ...(retryAfter === undefined ? {} : { retryAfter })
  }
  return stackless(() =>
    isNamed(status)
      ? new named[status](fields)
      : status < 500
        ? new Reason.ClientErrorStatus({ status, ...fields })
        : new Reason.ServerErrorStatus({ status, ...fields })
  )
}
