// Browsers start no worker for a page that was opened from the disk: there, the search runs in a hidden frame.
class FrameWorker extends EventTarget {
  constructor(url) {
    super()
    const frame = document.createElement("iframe")
    frame.hidden = true
    document.body.append(frame)
    this.inside = frame.contentWindow
    this.inside.document.open()
    this.inside.document.write("<body></body>")
    this.inside.document.close()
    this.inside.postMessage = data => this.dispatchEvent(new MessageEvent("message", {data}))
    const script = this.inside.document.createElement("script")
    script.src = url
    this.ready = new Promise(done => script.onload = done)
    this.inside.document.body.append(script)
  }

  postMessage(data) {
    this.ready.then(() => this.inside.dispatchEvent(new MessageEvent("message", {data})))
  }
}
if (location.protocol === "file:") window.Worker = FrameWorker
