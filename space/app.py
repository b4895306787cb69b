"""The demo as a Space of the Hugging Face Hub, where every address is answered."""

from ser_core.book import demo

if __name__ == "__main__":
    with demo.serving(host="0.0.0.0", port=7860) as address:
        print(address, flush=True)
        demo.wait()
