/** How the line of a reason ends that was made before anything was sent; true of that attempt, and not always of its call. */
export const nothingSent = "; nothing was sent"
