/** What went wrong with a call that the application made. */
export class SessionError extends Error {
  override readonly name = 'SessionError';
  constructor(
    /** The gateway's (docs/problems.md); `network` without an answer; `protocol` for one that is not the gateway's. */
    readonly code: string,
    message: string,
    /** HTTP status; 0 without an answer. */
    readonly status = 0,
    /** Of `unauthenticated`: why. */
    readonly reason?: string,
    /** The gateway's log has more under it. */
    readonly requestId?: string,
    /** In how many seconds to try again. */
    readonly retryAfter?: number,
  ) {
    super(message);
  }

  /** Whether the gateway itself has said no, and would again. */
  get isFinal(): boolean {
    const { status } = this;
    return this.code !== 'protocol' && status >= 400 && status < 500 && status !== 408 && status !== 425 && status !== 429;
  }
}
