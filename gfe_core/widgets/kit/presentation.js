// A view on the whole screen, as large as it fits, to be readable from the back row.

const WIDTH = 980; // size of an enlarged view, in its own pixels
const HEIGHT = 640;

/**
 * Show a view on the whole screen until its reader leaves with Escape.
 *
 * @param {import("./base.js").View<any>} view
 */
export function present(view) {
  const { root } = view;
  const end = new AbortController();
  const { signal } = end;
  const enlarge = () => {
    root.style.zoom = String(Math.max(Math.min(innerWidth / WIDTH, innerHeight / HEIGHT), 1));
  };
  const leave = () => {
    if (signal.aborted) return;
    end.abort();
    root.classList.remove("presenting");
    root.style.zoom = "";
    if (document.fullscreenElement === root) document.exitFullscreen();
  };
  root.classList.add("presenting");
  enlarge();
  addEventListener("resize", enlarge, { signal });
  root.addEventListener("keydown", (event) => event.key === "Escape" && leave(), { signal });
  const changed = () => document.fullscreenElement === root || leave();
  // where the host allows no full screen, the view fills the window
  root.requestFullscreen?.().then(
    () => document.addEventListener("fullscreenchange", changed, { signal }),
    () => {},
  );
  view.onClose(leave);
  root.focus();
}
