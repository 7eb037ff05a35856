"""``python -m saliency_engine`` is ``saliency-batch``."""

if __name__ == "__main__":  # decoding processes import this module under another name and need nothing of it
    from saliency_engine.cli.app import main

    main()
